"""Confidence intervals: Wilson's for a proportion, order statistics for a quantile, else BCa."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, ndtr, ndtri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Statistic = Callable[[NDArray[np.int64]], float]
    Statistics = Callable[[NDArray[np.int64]], NDArray[np.float64]]

MAX_JACKKNIFE = 1000
"""Above so many rows the jackknife of BCa takes blocks of rows: its acceleration tends to 0."""

_CHUNK = 500_000  # row numbers that are drawn at once: 4 MB


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided confidence interval.

    Attributes:
        value: the estimate.
        low: lower limit.
        high: upper limit.
    """

    value: float
    low: float
    high: float


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion: near its coverage even close to 0 and 1.

    Source: E. B. Wilson, Probable inference (1927); Brown, Cai & DasGupta, Interval estimation for
    a binomial proportion (2001). Counts of dependent rows, by design effect, may be fractions.

    Raises:
        ValueError: if not 0 ≤ successes ≤ n with n ≥ 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes = {successes} of n = {n}: need 0 <= successes <= n, n >= 1")
    z = float(ndtri(0.5 + confidence / 2.0))
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # The limits at 0 and n are exactly 0 and 1; rounding must not put them beyond the value.
    low = 0.0 if successes == 0 else float(middle - half)
    return Interval(share, low, 1.0 if successes == n else float(middle + half))


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    groups: NDArray[np.uint64] | None = None,
    bca: bool = True,
    many: Statistics | None = None,
) -> Interval:
    """Return a bootstrap interval of a statistic of rows.

    BCa (bias-corrected and accelerated), else the percentile interval. Rows that resemble each
    other are drawn together: with `groups`, whole groups are resampled.
    Source: B. Efron, Better bootstrap confidence intervals (1987); Efron & Tibshirani,
    An introduction to the bootstrap (1993), chapters 13 and 14.

    Args:
        statistic: from row numbers, int64 (M,) with repetitions, to the value.
        n: number of rows.
        confidence: coverage.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
        groups: uint64 (n,), equal for rows that belong together; None if all are independent.
        bca: whether to correct bias and skewness.
        many: the same statistic of many sets of rows at once, from int64 (R, M) to float64 (R,);
            what it gives is the same, sooner. Unused where groups have more rows than one.
    """
    units = _Units(n, groups)
    count = len(units)
    rng = np.random.default_rng(seed)
    value = statistic(np.arange(n))
    every = _every(statistic, many, units)
    steps = np.diff([*range(0, resamples, max(_CHUNK // count, 1)), resamples])
    draws = np.concatenate([every(rng.integers(0, count, (step, count))) for step in steps])
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(draws) == 0:
        return Interval(value, float("nan"), float("nan"))
    tail = (1.0 - confidence) / 2.0
    levels = np.array([tail, 1.0 - tail])
    if bca and count > 1:
        levels = _bca_levels(levels, draws, value, _left_out(every, units))
    low, high = np.quantile(draws, levels)
    return Interval(value, float(low), float(high))


def bootstrap_all(
    statistics: Statistics,
    n: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    groups: NDArray[np.uint64] | None = None,
) -> tuple[Interval, ...]:
    """Return the BCa intervals of many statistics from the same resamples, as `bootstrap` does.

    Rows are not copied: a resample is given as how often each row counts, so that a mean is one
    product and a sort need not be repeated.

    Args:
        statistics: from how often each row counts, int64 (n,), to the values, float64 (M,).
        n: number of rows.
        confidence: coverage.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling; draws the same rows as `bootstrap` with it.
        groups: as for `bootstrap`.
    """
    units = _Units(n, groups)
    count = len(units)
    rng = np.random.default_rng(seed)

    def measure(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return statistics(np.bincount(rows, minlength=n))

    values = measure(np.arange(n))
    drawn = np.array([
        measure(units.rows(rng.integers(0, count, count))) for _ in range(resamples)
    ])  # fmt: skip
    left_out = np.array([measure(rows) for rows in units.without()]) if count > 1 else drawn
    tail = (1.0 - confidence) / 2.0
    out = []
    for column, value in enumerate(values):
        draws = drawn[:, column]
        draws = draws[np.isfinite(draws)]
        if not np.isfinite(value) or len(draws) == 0:
            out.append(Interval(float(value), float("nan"), float("nan")))
            continue
        levels = np.array([tail, 1.0 - tail])
        if count > 1:
            levels = _bca_levels(levels, draws, float(value), left_out[:, column])
        low, high = np.quantile(draws, levels)
        out.append(Interval(float(value), float(low), float(high)))
    return tuple(out)


def quantile_interval(values: NDArray[np.float64], q: float, confidence: float) -> Interval:
    """Return the interval of a quantile between two order statistics, free of any distribution.

    NaN where so few values cannot bound it.
    Source: W. J. Conover, Practical nonparametric statistics (1999), section 3.2.
    """
    ordered, tail = np.sort(values), (1.0 - confidence) / 2.0
    n = len(ordered)
    # The number of values at or below the quantile is binomial (n, q).
    at_most = bdtr(np.arange(n + 1), n, q)
    low = int(np.searchsorted(at_most, tail, side="right"))
    high = int(np.searchsorted(at_most, 1.0 - tail, side="left")) + 1
    return Interval(
        float(np.quantile(ordered, q)),
        float(ordered[low - 1]) if low >= 1 else float("nan"),
        float(ordered[high - 1]) if high <= n else float("nan"),
    )


def _bca_levels(
    levels: NDArray[np.float64],
    draws: NDArray[np.float64],
    value: float,
    left_out: NDArray[np.float64],
) -> NDArray[np.float64]:
    below = np.mean(draws < value) + np.mean(draws == value) / 2.0
    # A share of 0 or 1 would send the levels to infinity: count half a draw instead.
    below = np.clip(below, 0.5 / len(draws), 1.0 - 0.5 / len(draws))
    bias = ndtri(below)
    gaps = left_out.mean() - left_out
    scale = np.sum(gaps**2) ** 1.5
    acceleration = np.sum(gaps**3) / (6.0 * scale) if scale > 0.0 else 0.0
    z = bias + ndtri(levels)
    adjusted: NDArray[np.float64] = ndtr(bias + z / (1.0 - acceleration * z))
    return np.where(np.isfinite(adjusted), adjusted, levels)


def _left_out(every: Statistics, units: _Units) -> NDArray[np.float64]:
    """Return the statistic without each unit in turn, or without each block of many units."""
    everything = np.arange(len(units))
    blocks = np.array_split(everything, min(len(units), MAX_JACKKNIFE))
    return np.concatenate([
        every(np.array([np.delete(everything, block) for block in part]))
        for part in _parts(blocks, max(_CHUNK // len(units), 1))
    ])  # fmt: skip


def _parts(blocks: list[NDArray[np.int64]], most: int) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Yield blocks of equal size together, in order, at most so many at once."""
    for _, alike in groupby(blocks, key=len):
        while part := tuple(islice(alike, most)):
            yield part


def _every(statistic: Statistic, many: Statistics | None, units: _Units) -> Statistics:
    """Return the statistic of each row of numbers of units, int64 (R, U) → float64 (R,)."""
    if many is not None and units.single:
        return lambda chosen: many(units.rows(chosen))
    return lambda chosen: np.array([statistic(units.rows(one)) for one in chosen], dtype=float)


class _Units:
    """What is resampled: single rows, or groups of rows."""

    def __init__(self, n: int, groups: NDArray[np.uint64] | None) -> None:
        if groups is None:
            self._order = np.arange(n, dtype=np.int64)
            self._sizes = np.ones(n, dtype=np.int64)
        else:
            _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
            self._order = np.argsort(inverse, kind="stable").astype(np.int64)
            self._sizes = sizes.astype(np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self.single = bool(np.all(self._sizes == 1))

    def __len__(self) -> int:
        return len(self._sizes)

    def without(self) -> Iterator[NDArray[np.int64]]:
        """Give the row numbers without each unit in turn, or without each block of many units."""
        everything = np.arange(len(self))
        for block in np.array_split(everything, min(len(self), MAX_JACKKNIFE)):
            yield self.rows(np.delete(everything, block))

    def rows(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row numbers of the chosen units, one after the other."""
        if self.single:
            return self._order[chosen]
        sizes = self._sizes[chosen]
        ends = np.cumsum(sizes)
        within = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        picked: NDArray[np.int64] = self._order[np.repeat(self._starts[chosen], sizes) + within]
        return picked
