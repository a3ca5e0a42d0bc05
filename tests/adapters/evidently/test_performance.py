"""Evidently's accuracy is the measured one, whatever labels have come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlops.adapters.evidently import words
from mlops.adapters.evidently.performance import NONE, Labelled, performance
from mlops.adapters.window import Cut, Window
from mlops.core.alarm import Verdict
from mlops.core.amounts import number
from mlops.core.estimate import ErrorEstimate
from mlops.core.sent import PAGE_ROWS
from mlops.errors import MonitorError

NAMES = ("</script>", "b", "c", "d")


def labelled(classes: int, count: int, seed: int = 0, *, broken: bool = False) -> Labelled:
    rng = np.random.default_rng(seed)
    if classes:
        answers = rng.dirichlet(np.ones(classes), count).astype(np.float32)
        guess = rng.integers(0, classes, count)
        label = np.where(rng.random(count) < 0.7, answers.argmax(axis=1), guess)
    else:
        answers = np.sort(rng.normal(size=(count, 3)), axis=1).astype(np.float32)
        label = rng.normal(size=count)
    if broken:
        answers[rng.random(count) < 0.3] = np.nan
    return Labelled(label, answers, NAMES[:classes])


def kinds(metrics: list[dict[str, Any]]) -> set[str]:
    return {m["config"]["type"].rpartition(":")[2] for m in metrics}


@pytest.mark.parametrize("classes", [2, 3, 4, 0])
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 60])
@pytest.mark.parametrize("reference", [1, 2, 200])
def test_any_labels_measure(classes: int, count: int, reference: int, *, broken: bool) -> None:
    window = labelled(classes, count, broken=broken)
    right = int(window.right.sum())
    told = performance(window, labelled(classes, reference, 1), (count, right), "w")
    share = next(m["value"] for m in told.metrics if m["config"].get("column") == "right")
    assert (share["count"], share["share"]) == (right, pytest.approx(right / count, abs=1e-12))
    if count == 60 and reference == 200 and not broken:
        wanted = {"Accuracy", "Precision", "Recall", "F1Score"} if classes else {"MAE", "RMSE"}
        assert wanted <= kinds(told.metrics)
    with pytest.raises(MonitorError, match="window w: CategoryCount of right answers is"):
        performance(window, labelled(classes, reference, 1), (count, right - 1), "w")


def test_of_many_labels_a_sample_is_measured() -> None:
    window, reference = labelled(3, PAGE_ROWS + 500), labelled(3, 300, 1)
    told = performance(window, reference, (len(window), int(window.right.sum())), "w")
    share = next(m["value"] for m in told.metrics if m["config"].get("column") == "right")
    assert share["count"] == window.sample().right.sum()
    assert len(window.sample()) == PAGE_ROWS


@pytest.mark.parametrize("zeros", ["window", "reference", "both", "all that are answered"])
def test_of_targets_that_are_all_zero_the_share_is_measured(zeros: str) -> None:
    """Evidently divides by targets that are not 0, and fails where there are none."""
    window, reference = labelled(0, 30), labelled(0, 200, 1)
    zero = {"window": [window], "reference": [reference], "both": [window, reference]}
    for rows in zero.get(zeros, []):
        rows.label[:] = 0.0
    if zeros == "all that are answered":
        window.label[:-1] = 0.0
        window.answers[-1] = np.nan
    right = int(window.right.sum())
    told = performance(window, reference, (30, right), "w")
    assert kinds(told.metrics) == {"CategoryCount"}
    held = np.isfinite(window.answers).all(axis=1)
    error = np.abs(window.label - window.answers[:, 1])[held].mean()
    cut = Cut("digits", "1", 1, 1, 30, 30, 0.0, 60.0)
    seen = Window(
        cut, Verdict(30, (), (), calibrated=True), 30, right, "pending", None, regression=True
    )
    said = words.answers(seen, window, reference)
    assert f"{right} of 30 labelled predictions were within the outer quantiles" in said
    assert f"mean absolute error is {number(error)}" in said


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (ErrorEstimate(1234.5, 1111.0, 1400.0), "1,234 (1,111 to 1,400)."),
        (ErrorEstimate(12.0, 8.25, None), "at least 8.25."),
    ],
)
def test_the_estimated_error_is_told_as_an_estimate(told: ErrorEstimate, shown: str) -> None:
    cut, verdict = Cut("digits", "1", 1, 1, 30, 30, 0.0, 60.0), Verdict(30, (), (), calibrated=True)
    window = Window(cut, verdict, 0, 0, "pending", None, regression=True, error_estimate=told)
    said = words.answers(window, None, None)
    assert f"An estimate, no measurement, of the mean absolute error: {shown}" in said
    measured = replace(window, labelled=30, correct=20, error=11.0)
    said = words.answers(measured, None, None)
    assert f"the estimate of the mean absolute error was {shown}" in said


def test_another_mean_absolute_error_than_evidentlys_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = labelled(0, 30)
    counted = (30, int(window.right.sum()))
    told = performance(window, labelled(0, 200, 1), counted, "w").metrics
    [theirs] = [m["value"]["mean"] for m in told if m["config"]["type"].endswith(":MAE")]
    assert window.error == pytest.approx(theirs, abs=1e-12)
    monkeypatch.setattr(Labelled, "error", property(lambda _: theirs + 1e-6))
    with pytest.raises(MonitorError, match="window w: mean absolute error is"):
        performance(window, labelled(0, 200, 1), counted, "w")


def test_a_class_named_like_no_answer_is_a_class() -> None:
    names = (NONE, "a<", "a\u2039")
    window, reference = (replace(labelled(3, n, n, broken=True), classes=names) for n in (60, 200))
    told = performance(window, reference, (60, int(window.right.sum())), "w")
    [labels] = [m["value"] for m in told.metrics if m["config"]["type"].endswith(":F1ByLabel")]
    assert set(map(str, labels)) >= {f"{NONE}'", "a\u2039", "a\u2039'"}
