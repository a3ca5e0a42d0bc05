from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn import metrics as sk

from mlops.core import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sample(seed: int, n: int, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    scores = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    # Rounding makes ties, which the area under the curve must count half.
    p = np.round(p, 2) + 1e-6
    return labels, p / p.sum(axis=1, keepdims=True)


SAMPLES = [(0, 400, 10), (1, 60, 3), (2, 1000, 4), (3, 37, 2)]


@pytest.mark.parametrize("case", SAMPLES)
def test_metrics_agree_with_scikit_learn(case: tuple[int, int, int]) -> None:
    labels, p = sample(*case)
    guess = p.argmax(axis=1)
    found = metrics.summary(labels, p, bins=10, top_k=3)
    binary = case[2] == 2
    expected = {
        "accuracy": sk.accuracy_score(labels, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, guess),
        "f1_macro": sk.f1_score(labels, guess, average="macro"),
        "log_loss": sk.log_loss(labels, p),
        "roc_auc": sk.roc_auc_score(labels, p[:, 1] if binary else p, multi_class="ovr"),
        "brier": sk.brier_score_loss(labels, p, scale_by_half=False),
        "pr_auc": np.mean(
            [sk.average_precision_score(labels == k, p[:, k]) for k in range(case[2])]
        ),
        "n": len(labels),
    }
    for kind in ("macro", "weighted"):
        expected[f"precision_{kind}"] = sk.precision_score(labels, guess, average=kind)
    expected["f1_weighted"] = sk.f1_score(labels, guess, average="weighted")
    if case[2] > 3:
        # In a tie theirs takes the class with the higher number, ours the lower: turn them round.
        every, last = np.arange(case[2]), case[2] - 1
        top = sk.top_k_accuracy_score(last - labels, p[:, ::-1], k=3, labels=every)
        expected["top_3_accuracy"] = top
    assert set(found) == {*expected, "ece", "ece_debiased"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("case", SAMPLES)
def test_confusion_and_per_class_agree_with_scikit_learn(case: tuple[int, int, int]) -> None:
    labels, p = sample(*case)
    guess = metrics.predicted(p)
    table = metrics.confusion(labels, guess, case[2])
    assert np.array_equal(table, sk.confusion_matrix(labels, guess))
    found = metrics.per_class(table)
    precision, recall, f1, support = sk.precision_recall_fscore_support(labels, guess)
    for mine, theirs in zip(
        (found.precision, found.recall, found.f1, found.support),
        (precision, recall, f1, support),
        strict=True,
    ):
        assert np.allclose(mine, theirs)


def test_classes_that_never_occur_are_unknown_not_zero() -> None:
    labels = np.array([0, 0, 1])
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    found = metrics.per_class(metrics.confusion(labels, metrics.predicted(p), 3))
    assert np.isnan(found.recall[2])
    assert np.isnan(found.f1[2])
    assert metrics.balanced_accuracy(labels, p) == 1.0
    assert metrics.roc_auc(labels, p) == metrics.pr_auc(labels, p) == 1.0


def test_one_class_leaves_the_area_out_of_the_summary() -> None:
    labels = np.zeros(5, dtype=np.int64)
    p = np.tile([0.7, 0.3], (5, 1))
    assert math.isnan(metrics.roc_auc(labels, p))
    assert "roc_auc" not in metrics.summary(labels, p, bins=5, top_k=3)


def test_a_class_never_predicted_has_precision_zero_and_one_that_never_occurs_none() -> None:
    table = np.array([[3, 0, 1], [2, 0, 0], [0, 0, 0]])
    found = metrics.averages(table)
    assert found["precision_macro"] == pytest.approx((3 / 5 + 0) / 2)
    assert found["precision_weighted"] == pytest.approx((3 / 5 * 4 + 0) / 6)
    assert found["recall_macro"] == pytest.approx((3 / 4 + 0) / 2)
    assert found["recall_weighted"] == pytest.approx(3 / 6)


def test_the_place_of_a_label_breaks_ties_as_the_prediction_does() -> None:
    p = np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4]])
    labels = np.array([0, 1, 0])
    assert metrics.place(labels, p).tolist() == [0, 1, 2]
    assert np.array_equal(metrics.place(labels, p) == 0, metrics.predicted(p) == labels)


@pytest.mark.parametrize(
    ("counts", "expected"), [((1, 1), math.log(2)), ((4, 0), 0.0), ((1, 1, 1, 1), math.log(4))]
)
def test_constant_predictor_has_the_entropy_as_its_loss(
    counts: tuple[int, ...], expected: float
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    assert metrics.constant_log_loss(labels, len(counts)) == pytest.approx(expected)


def test_a_certain_mistake_costs_much_but_not_infinity() -> None:
    loss = metrics.log_loss(np.array([1]), np.array([[1.0, 0.0]]))
    assert loss == pytest.approx(-math.log(1e-7))
