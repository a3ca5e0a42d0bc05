"""The two-sample Kolmogorov-Smirnov test against a presorted reference, with scipy's p-values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT_ROWS = 10_000  # scipy's: larger samples get the asymptotic distribution
_LEAST = 1e-10  # below it 1 - (the share of paths inside) has no digits left


def distance(
    reference_sorted: NDArray[np.float64], window_sorted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return sup|F - G| of each row of (D, n) and its row of (D, N), all sorted; float64, (D,).

    The supremum lies at a value of the window: just before it, or at it.
    """
    n, m = reference_sorted.shape[1], window_sorted.shape[1]
    upper, lower = np.arange(1, m + 1) / m, np.arange(m) / m
    out = np.empty(len(window_sorted))
    for d, (old, new) in enumerate(zip(reference_sorted, window_sorted, strict=True)):
        at = old.searchsorted(new, "right") / n
        before = old.searchsorted(new, "left") / n
        # Of equal values the last rank is the true upper step, the first the true lower one, and
        # the others lie between them, so that they never win.
        out[d] = max((upper - at).max(), (before - lower).max())
    return out


def p_value(d: float, n: int, m: int) -> float:
    """Return P(D ≥ d) for samples of n and m rows of one continuous distribution.

    As `scipy.stats.ks_2samp`: exact up to 10,000 rows each, by Hodges, The significance
    probability of the Smirnov two-sample test, 1958; else the Kolmogorov distribution of
    nm / (n + m) rows.

    Args:
        d: the distance.
        n: rows of one sample.
        m: rows of the other.
    """
    if max(n, m) <= _EXACT_ROWS:
        h = round(d * math.lcm(n, m))
        if h == 0:
            return 1.0
        exact = _outside_square(n, h) if n == m else 1.0 - _inside(n, m, h)
        if n == m or exact > _LEAST:
            return float(min(max(exact, 0.0), 1.0))
    effective = max(n, m) * min(n, m) / (n + m)
    return float(np.clip(stats.kstwo.sf(d, round(effective)), 0.0, 1.0))


def _outside_square(n: int, h: int) -> float:
    """Return the share of paths from (0, 0) to (n, n) that come h off the diagonal."""
    share, step = 0.0, np.arange(h)
    for k in range(n // h, -1, -1):
        ratio = (n - k * h - step) / (n + k * h + step + 1)
        share = float(np.prod(ratio)) * (1.0 - share)
    return 2.0 * share


def _inside(n: int, m: int, h: int) -> float:
    """Return the share of paths from (0, 0) to (n, m) that stay less than h / lcm off."""
    most = (h - 0.5) / math.lcm(n, m)
    j = np.arange(m + 1)
    share = (j / m <= most).astype(np.float64)
    for i in range(1, n + 1):
        low = max(math.ceil((i / n - most) * m), 0)
        high = min(math.floor((i / n + most) * m), m)
        share[:low] = 0.0
        share[high + 1 :] = 0.0
        np.cumsum(share[low : high + 1] * (i / (i + m)), out=share[low : high + 1])
    return float(share[m])
