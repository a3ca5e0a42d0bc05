"""The interval of a share of rows of which some depend on each other.

Sources:
    L. Kish (1965), Survey Sampling, ch. 5: the design effect.
    E. L. Korn, B. I. Graubard (1998), Survey Methodology 24: rows that count for what they are
        worth, fewer still where the effect is estimated from few keys.
    C. Franco, R. Little, T. Louis, E. Slud (2019), J. Survey Statistics and Methodology 7: of the
        intervals with those rows, Wilson's keeps its coverage near 0 and 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core.bounds import cautious_effect
from mlops.core.intervals import Interval, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Hits = NDArray[np.bool_] | NDArray[np.int64] | NDArray[np.float64]


def share(hit_N: Hits, key_N: NDArray[np.uint64], confidence: float) -> Interval:
    """Return the share of hits with Wilson's interval, of as many rows as they are worth.

    Where no key repeats these are the rows themselves. Else no bootstrap is used: it gives a share
    of 1 no width at all, however few keys it was seen on.

    Args:
        hit_N: 1 where it happened, else 0, N ≥ 1.
        key_N: uint64 (N,): rows of one key may depend on each other.
        confidence: coverage.
    """
    n, hits = len(hit_N), float(np.sum(hit_N))
    keys = len(np.unique(key_N))
    if keys == n:
        return wilson(hits, n, confidence)
    worth = n / cautious_effect(np.asarray(hit_N, dtype=np.float64), key_N)
    if keys > 1:
        tail = (1.0 - confidence) / 2.0
        worth *= float(stats.norm.isf(tail) / stats.t.isf(tail, keys - 1)) ** 2
    worth = max(worth, 1.0)
    return wilson(min(hits / n * worth, worth), worth, confidence)
