"""Confidence intervals: Wilson's for a proportion, the bootstrap's for everything else."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Statistic = Callable[[NDArray[np.int64]], float]
    Many = Callable[[NDArray[np.int64]], NDArray[np.float64]]

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


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion: near its coverage even close to 0 and 1.

    Source: E. B. Wilson, Probable inference (1927); recommended by Brown, Cai & DasGupta,
    Interval estimation for a binomial proportion (2001).

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
    many: Many | None = None,
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
        levels = _bca_levels(levels, draws, value, every, units)
    low, high = np.quantile(draws, levels)
    return Interval(value, float(low), float(high))


def _bca_levels(
    levels: NDArray[np.float64],
    draws: NDArray[np.float64],
    value: float,
    every: Many,
    units: _Units,
) -> NDArray[np.float64]:
    below = np.mean(draws < value) + np.mean(draws == value) / 2.0
    # A share of 0 or 1 would send the levels to infinity: count half a draw instead.
    below = np.clip(below, 0.5 / len(draws), 1.0 - 0.5 / len(draws))
    bias = ndtri(below)
    everything = np.arange(len(units))
    blocks = np.array_split(everything, min(len(units), MAX_JACKKNIFE))
    left_out = np.concatenate([
        every(np.array([np.delete(everything, block) for block in part]))
        for part in _parts(blocks, max(_CHUNK // len(units), 1))
    ])  # fmt: skip
    gaps = left_out.mean() - left_out
    scale = np.sum(gaps**2) ** 1.5
    acceleration = np.sum(gaps**3) / (6.0 * scale) if scale > 0.0 else 0.0
    z = bias + ndtri(levels)
    adjusted: NDArray[np.float64] = ndtr(bias + z / (1.0 - acceleration * z))
    return np.where(np.isfinite(adjusted), adjusted, levels)


def _parts(blocks: list[NDArray[np.int64]], most: int) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Yield blocks of equal size together, in order, at most so many at once."""
    for _, alike in groupby(blocks, key=len):
        while part := tuple(islice(alike, most)):
            yield part


def _every(statistic: Statistic, many: Many | None, units: _Units) -> Many:
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

    def rows(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row numbers of the chosen units, one after the other."""
        if self.single:
            return self._order[chosen]
        sizes = self._sizes[chosen]
        ends = np.cumsum(sizes)
        within = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        picked: NDArray[np.int64] = self._order[np.repeat(self._starts[chosen], sizes) + within]
        return picked
