"""What a model loses when its weights are rounded: the same rows, answered by both of its files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core.paired import count, one_per_key
from mlops.core.tango import cautious_tango

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA = 0.05
"""Of the one-sided bound by which a loss is judged."""


@dataclass(frozen=True)
class Loss:
    """What rounding costs.

    Attributes:
        rows: independent rows (of one key only one counts).
        value: accuracy that is lost; of a regression the rise of the mean absolute error, as a
            share of it. Below 0: gained.
        upper: one-sided bound of it, at level `ALPHA`.
        agreement: share of rows that both answer with the same class; of a regression of rows
            whose answers differ by less than a hundredth of the answers' spread.
        gap: largest difference of an answer, in probability; of a regression in that spread.
    """

    rows: int
    value: float
    upper: float
    agreement: float
    gap: float


def loss(
    before_NK: NDArray[np.float32],
    after_NK: NDArray[np.float32],
    label_N: NDArray[np.float64] | NDArray[np.int64],
    key_N: NDArray[np.uint64],
    *,
    regression: bool,
) -> Loss:
    """Compare the answers of the whole and of the rounded model.

    Accuracy by Tango's interval for paired proportions (Tango 1998, see `mlops.core.tango`); the
    mean absolute error by Student's t on the keys' mean differences.

    Args:
        before_NK: answers of the model as it was trained.
        after_NK: answers of the rounded one.
        label_N: what is right: a class's index, or a number.
        key_N: rows of one key depend on each other.
        regression: whether the answers are quantiles, the middle one the prediction.
    """
    if regression:
        return _of_numbers(before_NK, after_NK, label_N, key_N)
    was, now = before_NK.argmax(axis=1), after_NK.argmax(axis=1)
    step = (now == label_N).astype(np.int64) - (was == label_N).astype(np.int64)
    counts = count(one_per_key(step, key_N))
    lower, _ = cautious_tango(counts.gained, counts.lost, counts.rows, ALPHA)
    gap = float(np.abs(before_NK - after_NK).max())
    return Loss(counts.rows, 0.0 - counts.difference, -lower, float((was == now).mean()), gap)


def _of_numbers(
    before_NK: NDArray[np.float32],
    after_NK: NDArray[np.float32],
    label_N: NDArray[np.float64] | NDArray[np.int64],
    key_N: NDArray[np.uint64],
) -> Loss:
    middle = before_NK.shape[1] // 2
    was, now = (np.abs(a[:, middle] - label_N) for a in (before_NK, after_NK))
    _, place = np.unique(key_N, return_inverse=True)
    per_key = np.bincount(place, weights=now - was) / np.bincount(place)
    unit = max(float(was.mean()), float(np.finfo(np.float32).tiny))
    rows, value = len(per_key), float(per_key.mean()) / unit
    upper = 1.0  # one row shows nothing, and no setting allows so much
    if rows > 1:
        error = float(per_key.std(ddof=1)) / math.sqrt(rows) / unit
        upper = value + float(stats.t.isf(ALPHA, rows - 1)) * error
    spread = max(float(np.ptp(before_NK[:, middle])), float(np.finfo(np.float32).tiny))
    apart = np.abs(before_NK - after_NK).max(axis=1) / spread
    return Loss(rows, value, upper, float((apart < 0.01).mean()), float(apart.max()))
