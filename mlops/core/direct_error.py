"""The mean absolute error without labels, of a regression's median answer, in the target's unit.

The loss that is learnt (`mlops.core.direct_loss`) is the absolute error, as it is: a mean is asked
for, so errors that are larger than all others together are not cut. (Cutting what the trees learn
at its 99th percentile changed nothing, also of Student's t with 1 to 3 degrees of freedom.) With
such a tail the interval is wide, and nothing is estimated below a hundredth of the reference's
error. The interval is one of factors: it has no end below 0, and reaches farther up than down, as
means of skewed numbers do: the logarithm's, by the delta method (Oehlert, A note on the delta
method, 1992).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.direct_loss import LEAST, SIZES, Kind, Losses, fit
from mlops.core.estimate import Z95, ErrorEstimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.ground import Ground, Look

LABELS = 200
"""Least labelled reference rows: from fewer the interval of a shifted window is too narrow."""
_LEAST_ERROR = 0.01  # of the reference's: a correction may be larger than what it corrects
_PULL = 4.0  # rows of the whole reference in a variance, as Agresti and Coull pull a share's
_WIDEST = 20.0  # logarithm of a factor: an interval that wide says nothing, and is finite


def learn(ground: Ground, error_N: NDArray[np.float64]) -> Losses | None:
    """Learn where answers are far off; None from too few rows, or from hardly any that are off.

    Args:
        ground: the reference's labelled rows.
        error_N: of these: how far the answer was from the target, at least 0.
    """
    if len(error_N) < LABELS or np.count_nonzero(error_N) < LEAST:
        return None
    unit = float(error_N.mean())  # trees and squares of numbers of any size
    return replace(fit(_ERROR, ground, error_N / unit), unit=unit)


def estimate(known: Losses, seen: Look) -> ErrorEstimate:
    """Estimate the mean absolute error of unlabelled rows.

    The interval of 95 % has the noise of as many labels, and that of the reference rows that speak
    for these, as that of a coverage has. Rows beyond the reference are wrong by 0 at least, and
    nobody knows by how much: they lower its lower end by their share, and take its upper one.
    """
    rows = seen.speaking
    value = max(known.of(seen), _LEAST_ERROR)
    near = float(seen.weight @ (known.loss - value) ** 2)
    spread = (rows * near + _PULL * float(known.loss.var())) / (rows + _PULL)
    noise = spread / len(seen.rows) + max(spread / rows, seen.by_key(known.off))
    factor = float(np.exp(min(Z95 * np.sqrt(noise) / value, _WIDEST)))
    value *= known.unit
    low, high = (1.0 - seen.blind) * value / factor, value * factor
    return ErrorEstimate(value, low, None if seen.blind else high)


def _corrected(score_N: NDArray[np.float64], error_N: NDArray[np.float64]) -> tuple[float, float]:
    """Return the slope and intercept, by least squares, of scores that are right."""
    mean, spread = float(score_N.mean()), float(score_N.var())
    slope = float(np.mean((score_N - mean) * error_N)) / spread if spread > 0.0 else 0.0
    slope = max(slope, 0.0)
    return slope, float(error_N.mean()) - slope * mean


def _trees() -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(**SIZES)


def _score(model: Any, row_MD: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(model.predict(row_MD))


_ERROR = Kind(_trees, _score, _corrected, np.asarray)
