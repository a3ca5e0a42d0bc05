"""Rows that depend on the rows before them: how long, and what blocks keep of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LAGS = 5  # looked at to tell dependence from chance
_LEVEL = 1e-3  # of calling independent rows dependent
_TIMES = 3.0  # blocks this many autocorrelation times long: many blocks, each missing a known part
_LEAST_WINDOWS = 8
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Dependence:
    """How long rows depend on the rows before them.

    Attributes:
        block: rows in a row that must stay together when the series is resampled; 1 if none.
        missed: by how much a mean's standard deviation is larger than blocks of that length
            show, which lose what reaches across their ends; 1 for independent rows.
    """

    block: int
    missed: float


INDEPENDENT = Dependence(1, 1.0)


def dependence(values: NDArray[np.float64]) -> Dependence:
    """Look at a series for dependence, in the column where it reaches farthest.

    Blocks are three integrated autocorrelation times long (1 + 2 Σ ρ, summed while pairs of
    neighbours stay positive: Geyer, Practical Markov chain Monte Carlo, 1992). Blocks as in
    Künsch, The jackknife and the bootstrap for general stationary observations, 1989; of a mean's
    variance they show 1 + 2 Σ (1 - k / length) ρ.

    Args:
        values: float64, (N, D), in the order of time.
    """
    n = len(values)
    if n < 4 * _LAGS:
        return INDEPENDENT
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    centred = centred[:, spread > 0] / spread[spread > 0]
    if not centred.shape[1]:
        return INDEPENDENT
    rho = _autocorrelation(centred)
    bound = stats.norm.isf(_LEVEL / 2 / (_LAGS * rho.shape[1])) / math.sqrt(n)
    if np.abs(rho[1 : _LAGS + 1]).max() <= bound:
        return INDEPENDENT
    lags = 2 * ((len(rho) - 1) // 2)
    pairs = rho[1 : 1 + lags].reshape(-1, 2, rho.shape[1]).sum(axis=1)
    positive = np.cumprod(pairs > 2 / math.sqrt(n), axis=0)  # the rest is noise of the estimate
    times = 1 + 2 * (pairs * positive).sum(axis=0)
    far = int(times.argmax())
    block = int(min(math.ceil(_TIMES * max(times[far], 1.0)), max(n // 2, 1)))
    kept = (rho[1 : 1 + lags, far].reshape(-1, 2) * positive[:, [far]]).ravel()
    seen = 1 + 2 * (np.maximum(1 - np.arange(1, lags + 1) / block, 0) * kept).sum()
    return Dependence(block, math.sqrt(max(times[far] / max(seen, 1e-9), 1.0)))


def _autocorrelation(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the autocorrelations at lags 0 to N/4 of columns of variance 1; (lags, D)."""
    n = len(centred)
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, n=size, axis=0)) ** 2
    whole: NDArray[np.float64] = np.fft.irfft(power, n=size, axis=0)[: n // 4 + 1] / n
    return whole


def draw(
    rng: np.random.Generator, rows: int, shape: tuple[int, int], block: int
) -> NDArray[np.int64]:
    """Draw series of row indices in blocks that keep their order; int64 of `shape`.

    Neighbours in a drawn series are neighbours in the reference, except where blocks meet; the
    end joins the beginning, so that every row is drawn equally often.

    Args:
        rng: source of chance.
        rows: of the reference.
        shape: series, rows of each.
        block: rows that stay together; 1 for independent rows.
    """
    if block <= 1:
        return rng.integers(rows, size=shape)
    count = math.ceil((shape[1] + block - 1) / block)
    starts = rng.integers(rows, size=(shape[0], count))
    series = (starts[:, :, np.newaxis] + np.arange(block)).reshape(shape[0], -1) % rows
    # Blocks do not begin where the series does: else the same rows of each would be joints.
    offset = rng.integers(block, size=shape[0])
    index: NDArray[np.int64] = np.take_along_axis(
        series, offset[:, np.newaxis] + np.arange(shape[1]), axis=1
    )
    return index


def between_windows(
    values: NDArray[np.float64], window_rows: int, block: int
) -> NDArray[np.float64]:
    """Return by how much real windows of the reference spread more than drawn ones; (D,), ≥ 1.

    The ratio of standard deviations of window means, at its lower 95 % bound, so that chance
    does not inflate it; 1 with fewer than eight windows, which cannot tell.

    Args:
        values: float64, (N, D), in the order of time.
        window_rows: rows of a window.
        block: as `dependence` says: what the drawn windows know already.
    """
    count = len(values) // window_rows
    if count < _LEAST_WINDOWS:
        return np.ones(values.shape[1])
    cut = values[: count * window_rows].reshape(count, window_rows, -1)
    real = cut.mean(axis=1).var(axis=0, ddof=1)
    length = min(max(block, 1), window_rows)
    per = len(values) // length
    blocks = values[: per * length].reshape(per, length, -1).mean(axis=1)
    drawn = blocks.var(axis=0, ddof=1) * length / window_rows
    # Many columns are looked at: each at its share of the level.
    level = (1 - _CONFIDENCE) / max(values.shape[1], 1)
    chance = stats.chi2.isf(level, count - 1) / (count - 1)
    ratio = np.divide(real, drawn * chance, out=np.ones_like(real), where=drawn > 0)
    more: NDArray[np.float64] = np.sqrt(np.maximum(ratio, 1.0))
    return more
