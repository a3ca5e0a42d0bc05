"""Bounds of a mean whose few decisive rows need not be among those that were seen.

A loss that lies on 2 % of the rows is in no row at all of a sample of 60 in 30 of 100 cases:
then nothing in the sample shows it, and neither a bootstrap nor Student's t knows of it. What is
known is how much one row can lose at worst. So one more row is added there, and the bounds are
those of the empirical likelihood of all rows, that one included.

Sources:
    N. Gaffke (2005), Acta et Commentationes Universitatis Tartuensis de Mathematica 9: the bound
        of a bounded mean by exponential weights, with one more observation at the worst value.
    E. Learned-Miller, P. S. Thomas (2020), A new confidence interval for the mean of a bounded
        random variable: that it holds for every distribution is conjectured, and what was tried.
    A. B. Owen (1988), Biometrika 75: empirical likelihood, whose equation is that of the weights.
    J. Chen, A. M. Variyath, B. Abraham (2008), J. Comput. Graph. Stat. 17: it, with a row added.
    R. Lugannani, S. Rice (1980), Adv. Appl. Prob. 12; O. E. Barndorff-Nielsen (1986), Biometrika
        73: tail probabilities of a weighted sum without drawing weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from mlops.core.bounds import Bounds, clusters, design_effect
from mlops.core.reach import spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Span = tuple[float, float]

_ROUNDING = 1e-12  # of the interval in which a root is looked for
_EDGE = 1e-9  # of the span, which a bound is kept away from while it is looked for


def cautious_bounds(
    value_N: NDArray[np.float64], key_N: NDArray[np.uint64], span: Span, alpha: float,
    rarest_N: NDArray[np.bool_] | None = None,
) -> Bounds:  # fmt: skip
    """Bound a mean as if one key more had been seen that is at the worst in all its rows.

    That key is as large as the one that a row comes from on average (Kish 1965). With n rows that
    are all 0 and a worst of -w the lower bound is the exact -w (1 - alpha^(1/n)); with many rows
    it tends to Student's t, which no bound is narrower than.

    Args:
        value_N: one value per row, float64 (N,), all finite.
        key_N: uint64 (N,): rows of one key may depend on each other.
        span: the least and the greatest value that one row can have.
        alpha: level of each bound.
        rarest_N: bool (N,): rows of the rarest class, if values and span hang on their number.
    """
    estimate, (total_G, size_G) = float(value_N.mean()), clusters(value_N, key_N)
    groups, effect = len(size_G), design_effect(value_N, key_N)
    if groups < 2 or not math.isfinite(span[1] - span[0]):
        return Bounds(estimate, -math.inf, math.inf, effect, "so few rows bound nothing")
    off_G = total_G - estimate * size_G
    error = math.sqrt((off_G**2).sum() * groups / (groups - 1)) / len(value_N)
    reach = -float(special.stdtrit(groups - 1, alpha)) * error
    least, most = span
    lower = min(_lower(total_G, size_G, least, alpha), estimate - reach)
    upper = max(-_lower(-total_G, size_G, -most, alpha), estimate + reach)
    words = "empirical likelihood with one key more at the worst, no narrower than Student's t"
    worst = (most - least) / 2.0 * _one_more(size_G)
    one = spread(off_G, len(value_N), worst, _scarcity(rarest_N, key_N))
    return Bounds(estimate, lower, upper, effect, words, one)


def _scarcity(rarest_N: NDArray[np.bool_] | None, key_N: NDArray[np.uint64]) -> float:
    """Return √N times the standard deviation of a class's rows, in shares of them."""
    if rarest_N is None or not rarest_N.any():
        return 0.0
    rare = float(rarest_N.mean())
    return math.sqrt((1.0 / rare - 1.0) * design_effect(rarest_N.astype(np.float64), key_N))


def _one_more(size_G: NDArray[np.float64]) -> float:
    """Return the rows of the key that a row is of, on average (Kish 1965)."""
    return float((size_G**2).sum() / size_G.sum())


def _lower(
    total_G: NDArray[np.float64], size_G: NDArray[np.float64], least: float, alpha: float
) -> float:
    """Return the value that the weighted mean falls below with probability alpha."""
    more = _one_more(size_G)
    size, total = np.append(size_G, more), np.append(total_G, more * least)
    ratio = total / size
    low, high, z = min(least, float(ratio.min())), float(ratio.max()), float(special.ndtri(alpha))
    edge = _EDGE * (high - low)
    if edge == 0.0:
        return low

    def beyond(value: float) -> float:
        return below(total - value * size) - z

    low, high = low + edge, high - edge
    return float(optimize.brentq(beyond, low, high, xtol=edge)) if beyond(low) < 0.0 else low


def below(gap_G: NDArray[np.float64]) -> float:
    """Return the normal quantile of the probability that Σ gap · weight is at most 0.

    The weights are independent and exponential: divided by their sum they are those of the
    Bayesian bootstrap. With s where the empirical likelihood has its multiplier, the root r of its
    ratio and u = s √K''(s), the quantile is r + ln(u / r) / r (Barndorff-Nielsen 1986).

    Args:
        gap_G: float64 (G,): of each key, the last one added, its sum minus its rows times the mean
            in question; some below 0 and some above.
    """
    inside = 1.0 - 1.0 / len(gap_G)  # no weight is above 1 (Owen 1988)

    def slope(s: float) -> float:
        return float((gap_G / (1.0 - s * gap_G)).sum())

    low, high = inside / float(gap_G.min()), inside / float(gap_G.max())
    s = float(optimize.brentq(slope, low, high, xtol=_ROUNDING * min(-low, high)))
    kept_G = 1.0 - s * gap_G
    root = math.copysign(math.sqrt(max(2.0 * float(np.log(kept_G).sum()), 0.0)), s)
    if abs(root) < 1e-3:
        return root  # near the mean; no level is there
    shifted = s * math.sqrt(float(((gap_G / kept_G) ** 2).sum()))
    return root + math.log(shifted / root) / root
