"""How much each row moves the difference of two models in a metric that is no mean of rows.

A row's influence is the metric's derivative in that row's weight; it is added to the difference, so
that the rows' mean is the difference itself and `mlops.core.unseen` can bound it. Balanced accuracy
and macro F1 are smooth in the counts of labels and answers; an area under the ROC curve is a mean
of placements (DeLong).

Sources:
    F. R. Hampel (1974), J. Am. Stat. Assoc. 69: the influence curve.
    B. Efron (1982), The jackknife, the bootstrap and other resampling plans, ch. 6: the
        infinitesimal jackknife, which takes it for the rows' own value.
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson (1988), Biometrics 44: paired ROC areas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core.metrics import confusion, predicted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Scores = NDArray[np.float32]
    Derivative = Callable[[NDArray[np.int64]], tuple[float, NDArray[np.float64]]]


@dataclass(frozen=True)
class Influence:
    """What each row adds to a difference between two models, the first minus the second.

    Attributes:
        value: float64 (N,), whose mean is the difference; NaN if the rows cannot answer.
        span: the least and the greatest value that one more row could have; without end if a class
            has no row: the first that comes counts for as much as all those of another class.
        rarest: bool (N,): rows of the rarest class, on whose number both hang.
    """

    value: NDArray[np.float64]
    span: tuple[float, float]
    rarest: NDArray[np.bool_]


def balanced_accuracy(label_N: Labels, ours_NK: Scores, theirs_NK: Scores) -> Influence:
    """Return each row's part in the difference of mean recalls over the classes that occur."""
    return _of_answers(label_N, ours_NK, theirs_NK, _recall)


def f1_macro(label_N: Labels, ours_NK: Scores, theirs_NK: Scores) -> Influence:
    """Return each row's part in the difference of mean F1 over the classes that occur."""
    return _of_answers(label_N, ours_NK, theirs_NK, _f1)


def roc_auc(label_N: Labels, ours_NK: Scores, theirs_NK: Scores) -> Influence:
    """Return each row's part in the difference of mean one-versus-rest areas, ties half.

    A row of a class adds how far it stands among the rest, a row of the rest among the class: on
    the fewer of the two a row weighs more. The worst that a row can bring is to be placed last
    of all by the first model and first by the second.
    """
    rows, count_K = len(label_N), np.bincount(label_N, minlength=ours_NK.shape[1])
    present = np.flatnonzero(count_K)
    if len(present) < 2:
        return Influence(np.full(rows, np.nan), (np.nan, np.nan), np.ones(rows, dtype=bool))
    gap_KN = np.array([
        _placed(label_N == k, ours_NK[:, k]) - _placed(label_N == k, theirs_NK[:, k])
        for k in present
    ])  # fmt: skip
    own_KN = label_N == present[:, None]
    # Weight of a row of the class (first) and of the rest (second), for each class that occurs.
    inside_K, outside_K = rows / count_K[present], rows / (rows - count_K[present])
    area_K = np.array([gap[own].mean() for gap, own in zip(gap_KN, own_KN, strict=True)])
    weight_KN = np.where(own_KN, inside_K[:, None], outside_K[:, None])
    value_N = area_K.mean() + (weight_KN * (gap_KN - area_K[:, None])).mean(axis=0)

    def extreme(end: float) -> NDArray[np.float64]:
        """Return what a row of each class adds if it is placed at one end of all."""
        own_K, rest_K = inside_K * (end - area_K), outside_K * (end - area_K)
        return np.asarray(area_K.mean() + (own_K + rest_K.sum() - rest_K) / len(present))

    return _between(value_N, (extreme(-1.0).min(), extreme(1.0).max()), label_N, count_K)


def _placed(own_N: NDArray[np.bool_], score_N: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return DeLong's placements: which share of the other kind a row stands on the right side of.

    Midranks among all less midranks among its own kind count the other kind below it.
    """
    below_N = stats.rankdata(score_N)
    for kind in (own_N, ~own_N):
        below_N[kind] -= stats.rankdata(score_N[kind])
    ones = int(own_N.sum())
    return np.where(own_N, below_N / (len(own_N) - ones), 1.0 - below_N / ones)


def _between(
    value_N: NDArray[np.float64], span: tuple[float, float], label_N: Labels,
    count_K: NDArray[np.int64],
) -> Influence:  # fmt: skip
    rarest_N = label_N == int(count_K.argmin())
    if not count_K.all():
        return Influence(value_N, (-math.inf, math.inf), rarest_N)
    return Influence(value_N, (float(span[0]), float(span[1])), rarest_N)


def _of_answers(
    label_N: Labels, ours_NK: Scores, theirs_NK: Scores, derivative: Derivative
) -> Influence:
    """Return the influence on a metric of the confusion matrix, from its derivative (K, K)."""
    ours_N, theirs_N = predicted(ours_NK), predicted(theirs_NK)
    classes = ours_NK.shape[1]
    (first, ours_KK), (second, theirs_KK) = (
        derivative(confusion(label_N, said, classes)) for said in (ours_N, theirs_N)
    )
    value_N = first - second + ours_KK[label_N, ours_N] - theirs_KK[label_N, theirs_N]
    count_K = np.bincount(label_N, minlength=classes)
    occurs = np.flatnonzero(count_K)
    least = (ours_KK.min(axis=1) - theirs_KK.max(axis=1))[occurs].min()
    most = (ours_KK.max(axis=1) - theirs_KK.min(axis=1))[occurs].max()
    seen = first - second
    return _between(value_N, (seen + least, seen + most), label_N, count_K)


def _recall(table_KK: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return the mean recall, and what a row of a label (K) answered so (K) adds to it."""
    labelled_K = table_KK.sum(axis=1)
    weight_K = _weight(labelled_K, labelled_K)
    recall_K = np.diag(table_KK) / np.maximum(labelled_K, 1)
    value = float(recall_K[labelled_K > 0].mean())
    return value, np.diag(weight_K) - (weight_K * recall_K)[:, None]


def _f1(table_KK: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return the mean F1, and what a row of a label (K) answered so (K) adds to it."""
    labelled_K, both_K = table_KK.sum(axis=1), table_KK.sum(axis=1) + table_KK.sum(axis=0)
    weight_K = _weight(labelled_K, both_K)
    f1_K = 2.0 * np.diag(table_KK) / np.maximum(both_K, 1)
    value, cost_K = float(f1_K[labelled_K > 0].mean()), weight_K * f1_K
    return value, np.diag(2.0 * weight_K) - cost_K[:, None] - cost_K


def _weight(labelled_K: NDArray[np.int64], counted_K: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rows over those that a class's share is of, for one of the classes that occur."""
    occurs_K = labelled_K > 0
    return np.where(occurs_K, labelled_K.sum() / np.maximum(counted_K, 1) / occurs_K.sum(), 0.0)
