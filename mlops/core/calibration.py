"""Thresholds at a rate of false incidents that the user chose, from held-out reference rows.

In the reference's own world every window is clean. Streams of windows are drawn from it, each
stream with a fresh pseudo-reference of the true reference's size, which all its windows share as
they do in service (so that a reference that fell out badly, and alarms again and again, is
counted). Columns are standardised, the maximum over them taken (Westfall and Young, Resampling-
Based Multiple Testing, 1993), and the threshold is the lowest at which the complete rule, K-of-N
and hysteresis included, opens at most half the budgeted incidents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.alarm import Rule, incidents
from mlops.core.drift import jensenshannon_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.columns import Columns

_SAFETY = 0.5  # of the budget: the rest is for references that are unlike their population
# The resampled world is a little tamer than the real one when the reference is small: with two
# windows of reference rows 2.1 to 2.6 times the targeted incidents were opened, with five and
# more 1.4 (simulated, a fresh reference per stream). So the target shrinks below this many.
_FULL_WINDOWS = 5.0
_EVENTS = 40.0  # incidents wanted at the threshold: its rate is then known to about ±16 %
_MOST_WINDOWS = 24_000
_MOST_ROWS = 400  # a pseudo-window's; larger ones are drawn at this size and scaled
_GRID = 256  # points at which distribution functions are compared
_ENOUGH_WINDOWS = 2  # of reference rows; with fewer the reference cannot speak for itself


@dataclass(frozen=True)
class Rules:
    """What is calibrated for; see `monitoring` in params.yaml."""

    window_rows: int
    false_alarms: float
    per_windows: int
    min_effect: float
    replicates: int
    seed: int
    rule: Rule

    @property
    def rate(self) -> float:
        """Budgeted incidents per window."""
        return self.false_alarms / self.per_windows


@dataclass(frozen=True)
class Thresholds:
    """Calibrated thresholds; they travel with the model version.

    Attributes:
        columns: the numeric columns, then `predicted`.
        limits: threshold of each for a window of `window_rows`, before the minimum effect.
        min_effect: no threshold is below this.
        window_rows: rows of the window they were calibrated for.
        reference_rows: rows of the reference.
        rate: incidents per window that the rule opened on clean streams at these thresholds.
        budget: incidents per window that are allowed.
        z: the limit of the standardised maximum.
        calibrated: false when the reference is too small to promise the budget.
        reason: how they were found, and why not calibrated.
    """

    columns: tuple[str, ...]
    limits: tuple[float, ...]
    min_effect: float
    window_rows: int
    reference_rows: int
    rate: float
    budget: float
    z: float
    calibrated: bool
    reason: str

    def at(self, rows: int) -> NDArray[np.float64]:
        """Return the thresholds, (D + 1,), of a window of so many rows.

        The distances shrink as √(1/n + 1/N) with n reference and N window rows.
        """
        scale = _spread(self.reference_rows, rows) / _spread(self.reference_rows, self.window_rows)
        return np.maximum(np.array(self.limits) * scale, self.min_effect)


def calibrate(reference: Columns, rules: Rules) -> Thresholds:
    """Find the thresholds for a reference.

    Args:
        reference: held-out rows on which no model was fitted, n of them.
        rules: window size, budget, rule.

    Raises:
        ValueError: if the reference has fewer than 2 rows.
    """
    if len(reference) < 2:
        msg = f"a reference of {len(reference)} rows cannot be calibrated; provide more rows"
        raise ValueError(msg)
    held = len(reference) / rules.window_rows
    target = _SAFETY * rules.rate * min(1.0, held / _FULL_WINDOWS)
    draws_STC = _streams(reference, rules, _windows_wanted(target))
    mean, sd = draws_STC.mean(axis=(0, 1)), draws_STC.std(axis=(0, 1)) + 1e-9
    top_ST = ((draws_STC - mean) / sd).max(axis=2)
    z, extrapolated = _limit(rules.rule, top_ST, target)
    limits = mean + z * sd
    over = draws_STC >= np.maximum(limits, rules.min_effect)
    rate = float(incidents(rules.rule, over.any(axis=2)).sum() / top_ST.size)
    calibrated = len(reference) >= _ENOUGH_WINDOWS * rules.window_rows
    how = f"{top_ST.size} clean windows in {len(top_ST)} streams"
    if extrapolated:
        how += ", tail extrapolated"
    if not calibrated:
        how += (
            f"; uncalibrated: {len(reference)} reference rows are fewer than "
            f"{_ENOUGH_WINDOWS} windows of {rules.window_rows}"
        )
    return Thresholds(
        columns=reference.all_names, limits=tuple(float(v) for v in limits),
        min_effect=rules.min_effect, window_rows=rules.window_rows,
        reference_rows=len(reference), rate=rate, budget=rules.rate, z=z,
        calibrated=calibrated, reason=how,
    )  # fmt: skip


def _windows_wanted(target: float) -> int:
    return int(min(_MOST_WINDOWS, math.ceil(_EVENTS / target)))


def _spread(reference_rows: int, window_rows: int) -> float:
    return math.sqrt(1 / reference_rows + 1 / window_rows)


def _streams(reference: Columns, rules: Rules, wanted: int) -> NDArray[np.float64]:
    """Draw clean streams; return their statistics, (streams, windows, columns)."""
    rng = np.random.default_rng(rules.seed)
    n, big = len(reference), rules.window_rows
    shrink = min(1.0, _MOST_ROWS / big)
    window_n, reference_n = max(2, round(big * shrink)), max(2, round(n * shrink))
    scale = _spread(n, big) / _spread(reference_n, window_n)
    length = max(math.ceil(wanted / rules.replicates), 4 * rules.rule.raise_n)
    grid = _Grid(reference)
    out = np.empty((rules.replicates, length, len(reference.all_names)))
    for s in range(rules.replicates):
        base = grid.counts(rng.integers(n, size=(1, reference_n)))
        rows = grid.counts(rng.integers(n, size=(length, window_n)))
        out[s] = grid.statistics(base, rows) * scale
    return out


def _limit(rule: Rule, top_ST: NDArray[np.float64], target: float) -> tuple[float, bool]:
    """Return the lowest limit that keeps to the target, and whether the tail was extrapolated."""
    events = target * top_ST.size
    if events >= _EVENTS / 2:
        return _limit_for(rule, top_ST, events), False
    # Too few clean windows to see the target's rate: an exponential tail through two rates that
    # are seen. The true tails are lighter (sub-Gaussian), so the limit errs to the quiet side.
    near, far = _EVENTS / 2, _EVENTS * 2
    high, low = _limit_for(rule, top_ST, near), _limit_for(rule, top_ST, far)
    return high + max(high - low, 0.0) * math.log(near / events) / math.log(far / near), True


def _limit_for(rule: Rule, top_ST: NDArray[np.float64], events: float) -> float:
    low, high = float(np.median(top_ST)), float(top_ST.max()) + 1e-9
    for _ in range(24):
        middle = (low + high) / 2
        if incidents(rule, top_ST >= middle).sum() > events:
            low = middle
        else:
            high = middle
    return high


class _Grid:
    """A reference's columns on a grid of their quantiles, so that a pseudo-window costs counts."""

    def __init__(self, reference: Columns) -> None:
        values = reference.values.T
        points = np.linspace(0, 1, _GRID)
        self._edges = np.quantile(values, points, axis=1, method="inverted_cdf").T  # (D, G)
        bins = [np.searchsorted(e, v, "left") for e, v in zip(self._edges, values, strict=True)]
        self._classes, self._numeric = reference.classes, len(values)
        offset = np.arange(self._numeric) * _GRID
        coded = np.column_stack([np.stack(bins, axis=1) + offset, reference.predicted])
        coded[:, -1] += self._numeric * _GRID
        self._coded = coded.astype(np.int64)
        self._width = self._numeric * _GRID + reference.classes
        self._norm = np.maximum(values.std(axis=1), 0.001)[:, np.newaxis]

    def counts(self, rows_BN: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return shares per grid cell of each drawn batch; float64, (B, width)."""
        batches, size = rows_BN.shape
        cells = self._coded[rows_BN] + (np.arange(batches) * self._width)[:, None, None]
        flat = np.bincount(cells.ravel(), minlength=batches * self._width)
        table: NDArray[np.float64] = flat.reshape(batches, self._width) / size
        return table

    def statistics(
        self, base: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the statistics of batches against one base; float64, (B, D + 1)."""
        cut = self._numeric * _GRID
        gap = (rows[:, :cut] - base[:, :cut]).reshape(len(rows), self._numeric, _GRID)
        gap = np.abs(gap.cumsum(axis=2))
        steps = np.diff(self._edges, axis=1) / self._norm
        numeric = np.einsum("bdg,dg->bd", (gap[:, :, :-1] + gap[:, :, 1:]) / 2, steps)
        return np.column_stack([numeric, jensenshannon_rows(base[0, cut:], rows[:, cut:])])
