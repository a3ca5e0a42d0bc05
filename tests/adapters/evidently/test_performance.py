"""Evidently's accuracy is the measured one, whatever labels have come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops.adapters.evidently.performance import Labelled, performance
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
