"""Calibrated thresholds; they travel with the model version."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAIL_P = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
"""Probabilities at which the clean maximum's upper quantiles are kept."""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of a version's windows.

    Attributes:
        columns: the numeric columns, then `predicted`.
        limits: threshold of each for a window of `window_rows`, before the minimum effect.
        means: mean of each in clean windows of `window_rows`.
        min_effect: no threshold is below this.
        window_rows: rows of the window they were calibrated for.
        reference_rows: rows of the reference.
        rate: incidents per window that the rule opened on clean streams at these thresholds.
        budget: incidents per window that are allowed.
        z: the limit of the standardised maximum.
        tail: the standardised maximum's quantiles at 1 - `TAIL_P`, of an unlucky reference.
        block: rows that were kept together; 1 for independent ones.
        calibrated: false when the reference is too small to promise the budget.
        reason: how they were found, and why not calibrated.
    """

    columns: tuple[str, ...]
    limits: tuple[float, ...]
    means: tuple[float, ...]
    min_effect: float
    window_rows: int
    reference_rows: int
    rate: float
    budget: float
    z: float
    tail: tuple[float, ...]
    block: int
    calibrated: bool
    reason: str

    def at(self, rows: int) -> NDArray[np.float64]:
        """Return the thresholds, (D + 1,), of a window of so many rows.

        The distances shrink as √(1/n + 1/N) with n window and N reference rows.
        """
        return np.maximum(np.array(self.limits) * self._scale(rows), self.min_effect)

    def standardised(self, values: NDArray[np.float64], rows: int) -> float:
        """Return the standardised maximum of a window's statistics, (D + 1,); `z` is its limit."""
        scaled, mean = values / self._scale(rows), np.array(self.means)
        per_sd = self.z / np.maximum(np.array(self.limits) - mean, 1e-12)
        return float(((scaled - mean) * per_sd).max())

    def p_value(self, values: NDArray[np.float64], rows: int) -> float:
        """Return the probability that a clean window's maximum is as large; in (0, 1].

        Log-linear between the kept quantiles and beyond the last, where the true tail is lighter.
        Above the median it is 1: nothing is said about windows that are unusually alike. So it is
        where no distance reaches `min_effect`, however significant.
        """
        telling = np.where(values >= self.min_effect, values, 0.0)
        if not telling.any():
            return 1.0
        z, tail, log_p = self.standardised(telling, rows), np.array(self.tail), np.log(TAIL_P)
        if z <= tail[0]:
            return 1.0
        if z <= tail[-1]:
            return float(np.exp(np.interp(z, tail, log_p)))
        slope = (log_p[-1] - log_p[-4]) / max(tail[-1] - tail[-4], 1e-9)
        return float(max(np.exp(log_p[-1] + slope * (z - tail[-1])), 1e-300))

    def _scale(self, rows: int) -> float:
        return spread(self.reference_rows, rows) / spread(self.reference_rows, self.window_rows)


def spread(reference_rows: int, window_rows: int) -> float:
    """Return √(1/n + 1/N), which a distance of clean rows is proportional to."""
    return math.sqrt(1 / reference_rows + 1 / window_rows)
