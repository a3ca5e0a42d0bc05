from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.core import assessment, metrics
from mlops.core.assessment import Rules, Scored
from mlops.core.intervals import bootstrap, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

RULES = Rules(confidence=0.95, resamples=200, seed=3, bins=10, min_slice_rows=5, top_k=2)


def rows(n: int = 150, copies: int = 1, classes: int = 4) -> Scored:
    rng = np.random.default_rng(0)
    label = rng.integers(0, classes, n)
    scores = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[label]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    key = np.arange(n, dtype=np.uint64)

    def repeated(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.repeat(values, copies, axis=0)

    return Scored(
        repeated(label), repeated(p.astype(np.float32)), repeated(key),  # type: ignore[arg-type]
        np.zeros(n * copies, dtype=bool),
    )  # fmt: skip


def test_every_metric_has_its_value_and_an_interval_but_calibration_errors() -> None:
    scored = rows()
    found = {one.name: one for one in assessment.measured(scored, RULES)}
    single = metrics.summary(scored.label, scored.probabilities, RULES.bins, RULES.top_k)
    assert set(found) == {*single, "recall_macro", "recall_weighted"} - {"n"}
    for name, one in found.items():
        same = {"recall_macro": "balanced_accuracy", "recall_weighted": "accuracy"}.get(name, name)
        assert one.interval.value == pytest.approx(single[same], abs=1e-6), name
        if name in ("ece", "ece_debiased"):
            assert np.isnan([one.interval.low, one.interval.high]).all()
        else:
            assert one.interval.low < one.interval.value < one.interval.high, name
    proportions = {n for n, one in found.items() if one.method == "wilson"}
    assert proportions == {"accuracy", "recall_weighted", "top_2_accuracy"}


def test_intervals_are_those_of_the_bootstrap_one_metric_at_a_time() -> None:
    scored = rows()
    found = {one.name: one.interval for one in assessment.measured(scored, RULES)}
    for name, metric in (
        ("balanced_accuracy", metrics.balanced_accuracy), ("f1_macro", metrics.f1_macro),
        ("log_loss", metrics.log_loss), ("brier", metrics.brier), ("roc_auc", metrics.roc_auc),
        ("pr_auc", metrics.pr_auc),
    ):  # fmt: skip
        alone = bootstrap(
            lambda i, m=metric: m(scored.label[i], scored.probabilities[i]),  # type: ignore[misc]
            len(scored.label), confidence=0.95, resamples=200, seed=3,
        )  # fmt: skip
        assert (found[name].low, found[name].high) == pytest.approx((alone.low, alone.high)), name


def test_rows_that_repeat_make_no_interval_narrower() -> None:
    once = {one.name: one for one in assessment.measured(rows(), RULES)}
    thrice = {one.name: one for one in assessment.measured(rows(copies=3), RULES)}
    for name, one in thrice.items():
        assert one.method != "wilson"
        assert (one.method == "wilson, design effect") == (once[name].method == "wilson")
        if name not in ("ece", "ece_debiased"):
            width = once[name].interval.high - once[name].interval.low
            assert one.interval.high - one.interval.low == pytest.approx(width, rel=0.25), name


@pytest.mark.parametrize("keys", [1, 4, 40])
def test_rows_without_a_mistake_have_intervals_of_some_width_however_often_keys_repeat(
    keys: int,
) -> None:
    """40 copies of one thing show less than 40 things; a bootstrap has no width for either."""
    label = np.tile([0, 1], 20)
    p = 0.8 * np.eye(2, dtype=np.float32)[label] + 0.1
    key = np.arange(40, dtype=np.uint64) % np.uint64(keys)
    scored = Scored(label, p, key, np.zeros(40, dtype=bool))
    widths = {}
    for one in assessment.measured(scored, RULES):
        widths[one.name] = one.interval.high - one.interval.low
        assert one.interval.high > one.interval.low or one.method == "no interval claimed"
    for number, each in enumerate(assessment.by_class(scored, RULES)):
        for name in ("precision", "recall", "f1"):
            interval = getattr(each, name)
            widths[f"{number} {name}"] = interval.high - interval.low
    unclaimed = ("ece", "ece_debiased", "log_loss", "brier")
    known = {name: width for name, width in widths.items() if name not in unclaimed}
    least = {1: 0.65, 4: 0.5, 40: 0.07}[keys]
    assert len(known) == 16
    assert all(width > least for width in known.values()), known


def test_each_class_has_precision_recall_and_f1_with_limits() -> None:
    scored = rows()
    guess = metrics.predicted(scored.probabilities)
    expected = metrics.per_class(metrics.confusion(scored.label, guess, 4))
    for k, one in enumerate(assessment.by_class(scored, RULES)):
        assert one.precision.value == pytest.approx(expected.precision[k])
        assert one.f1.value == pytest.approx(expected.f1[k])
        assert one.f1.low < one.f1.value < one.f1.high
        own = scored.label == k
        assert one.recall == wilson(int((guess[own] == k).sum()), int(own.sum()))
    for one, many in zip(
        assessment.by_class(scored, RULES), assessment.by_class(rows(copies=2), RULES), strict=True
    ):
        for name in ("precision", "recall", "f1"):
            alone, repeated = getattr(one, name), getattr(many, name)
            assert repeated.value == pytest.approx(alone.value)
            # Another method, the same uncertainty.
            width = alone.high - alone.low
            assert repeated.high - repeated.low == pytest.approx(width, rel=0.35), name


def test_a_class_without_a_mistake_is_not_known_for_certain() -> None:
    label = np.repeat([0, 1], 20)
    p = np.eye(2, dtype=np.float32)[label]
    scored = Scored(label, p, np.arange(40, dtype=np.uint64), np.zeros(40, dtype=bool))
    for one in assessment.by_class(scored, RULES):
        assert (one.f1.value, one.f1.high) == (1.0, 1.0)
        assert 0.85 < one.f1.low < 0.95


def test_the_interval_of_f1_covers_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        label = rng.integers(0, 3, 120)
        wrong = rng.uniform(size=120) < 0.2
        guess = np.where(wrong, (label + rng.integers(1, 3, 120)) % 3, label)
        p = np.eye(3, dtype=np.float32)[guess]
        scored = Scored(label, p, np.arange(120, dtype=np.uint64), np.zeros(120, dtype=bool))
        f1 = assessment.by_class(scored, RULES)[0].f1
        inside += f1.low <= 0.8 <= f1.high  # precision and recall are both 0.8
    # 4 standard errors are 0.044.
    assert 0.95 - 0.044 <= inside / 400 <= 0.99


def test_a_class_that_never_occurs_is_unknown() -> None:
    scored = rows()
    (*_, last) = assessment.by_class(
        Scored(scored.label % 3, scored.probabilities, scored.key, scored.production), RULES
    )
    assert np.isnan([last.recall.value, last.recall.low, last.f1.value]).all()
    assert last.precision.value == 0.0


def test_recent_rows_have_fewer_figures_under_their_own_name() -> None:
    found = assessment.figures({"test": rows(), "recent": rows(60)}, RULES)
    assert (found["n"], found["recent_n"]) == (150, 60)
    recent = {name.removeprefix("recent_") for name in found if name.startswith("recent_")}
    assert recent == assessment.BRIEF
    assert {"pr_auc", "top_2_accuracy", "constant_log_loss"} < set(found)
