"""Metrics of a regression, from targets and predictions: numpy only.

Conventions: `target` and `predicted` are float (N,), in the target's own unit; N ≥ 1. A metric
that the rows cannot answer is NaN, never a guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64] | NDArray[np.float32]


def mse(target: Floats, predicted: Floats) -> float:
    """Return the mean squared error, in the unit squared."""
    return float(np.mean((_wide(predicted) - _wide(target)) ** 2))


def rmse(target: Floats, predicted: Floats) -> float:
    """Return the root of the mean squared error, in the target's unit."""
    return float(np.sqrt(mse(target, predicted)))


def mae(target: Floats, predicted: Floats) -> float:
    """Return the mean absolute error, in the target's unit."""
    return float(np.mean(np.abs(_wide(predicted) - _wide(target))))


def mape(target: Floats, predicted: Floats) -> float:
    """Return the mean absolute error as a share of the target; NaN if a target is 0."""
    if np.any(_wide(target) == 0.0):
        return float("nan")
    return float(np.mean(np.abs((_wide(predicted) - _wide(target)) / _wide(target))))


def r2(target: Floats, predicted: Floats) -> float:
    """Return the share of the targets' variance that is explained; NaN if they have none.

    Below 0 the predictions are worse than the targets' mean.
    """
    spread = float(np.var(_wide(target)))
    return 1.0 - mse(target, predicted) / spread if spread > 0.0 else float("nan")


def coverage(target: Floats, low: Floats, high: Floats) -> float:
    """Return the share of targets inside their predicted interval, limits included.

    Predicted quantiles q₁ and q₂ are honest if it is near q₂ − q₁; for a single quantile let
    `low` be −∞.

    Raises:
        ValueError: if a lower limit is above its upper one: the quantiles cross.
    """
    if np.any(_wide(low) > _wide(high)):
        crossed = int(np.sum(_wide(low) > _wide(high)))
        raise ValueError(
            f"{crossed} of {len(target)} intervals have low > high; sort the quantiles"
        )
    return float(np.mean((_wide(low) <= _wide(target)) & (_wide(target) <= _wide(high))))


def pinball(target: Floats, predicted: Floats, q: float) -> float:
    """Return the mean loss of a predicted quantile, which the true one minimises.

    Source: R. Koenker & G. Bassett, Regression quantiles (1978).
    """
    gap = _wide(target) - _wide(predicted)
    return float(np.mean(np.maximum(q * gap, (q - 1.0) * gap)))


def summary(target: Floats, predicted: Floats) -> dict[str, float]:
    """Return every metric of point predictions by name; those without an answer are left out."""
    values = {
        "mae": mae(target, predicted),
        "mape": mape(target, predicted),
        "mse": mse(target, predicted),
        "r2": r2(target, predicted),
        "rmse": rmse(target, predicted),
        "n": float(len(target)),
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _wide(values: Floats) -> NDArray[np.float64]:
    return values.astype(np.float64)
