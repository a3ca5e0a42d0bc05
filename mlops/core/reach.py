"""How many rows a bound needs to show a difference, from what the rows so far say of one more.

The bound that judges means with few decisive rows reaches as far as its estimate's error and one
row at the worst (`mlops.core.unseen`). Its variance is itself estimated from rows that mostly lack
the rarest and farthest: planned with as it stands, the rows promised for heavy-tailed errors had a
power of .65 to .75 instead of .8. So one row more is reckoned with that is like the farthest seen,
and the power is the mean over what the variance may be.

Sources:
    A. O'Hagan, J. W. Stevens, M. J. Campbell (2005), Pharmaceutical Statistics 4: assurance, which
        is power averaged over what is not known.
    S. A. Julious, R. J. Owen (2006), Pharmaceutical Statistics 5: sample sizes where a variance is
        estimated.
    G. E. P. Box (1953), Biometrika 40: a variance's own variance follows the kurtosis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FAINT = 1e-3  # of two parts, one so much smaller than the other changes nothing
_NODES = 15  # of Gauss and Hermite's rule


@dataclass(frozen=True)
class Spread:
    """What a bound's reach is made of, as far as it is known.

    Attributes:
        variance: of one row, dependence in it; the standard error of n rows is √(variance / n).
        worst: what one row can bring at worst, which the bound holds in reserve.
        doubt: standard deviation of the variance's logarithm; 0 where it is known.
        scarcity: `worst` and the variance hang on how many rows the rarest class has, and √n times
            that number's standard deviation is this share of it; 0 where they hang on none.
    """

    variance: float
    worst: float = 0.0
    doubt: float = 0.0
    scarcity: float = 0.0


def spread(off_G: NDArray[np.float64], rows: int, worst: float, scarcity: float) -> Spread:
    """Return what rows so far say of one more.

    Args:
        off_G: float64 (G,): of each key its sum less its rows' share of the mean.
        rows: of all keys.
        worst: as in `Spread`.
        scarcity: likewise.
    """
    groups, most = len(off_G), float(np.abs(off_G).max())
    if most == 0.0:
        return Spread(0.0, worst, 0.0, scarcity)
    square_G = (off_G / most) ** 2
    total = float(square_G.sum())
    kurtosis = groups * float((square_G**2).sum()) / total**2
    variance = most**2 * (total + 1.0) * groups / (groups - 1) / rows
    # No tails are taken to be lighter than a normal variable's: few keys show none.
    return Spread(variance, worst, math.sqrt(max(kurtosis - 1.0, 2.0) / (groups - 1)), scarcity)


def rows_needed(one: Spread, room: float, alpha: float, power: float) -> int:
    """Return the rows at which a bound shows a true difference with the power asked for.

    Of a variance that is known, without a worst, it is the textbook's
    n = (z(1-α) + z(power))² v / (Δ₁ + δ)².

    Args:
        one: what is known of one row.
        room: Δ₁ + δ, from the margin's boundary to the true difference, above 0.
        alpha: level of the bound.
        power: with which it is to show the difference.
    """

    def short(log_rows: float) -> float:
        return power - power_at(one, math.exp(log_rows), room, alpha)

    low, high = 0.0, 0.0
    while short(high) > 0.0:
        low, high = high, high + 1.0
    if high == 0.0:
        return 1
    return math.ceil(math.exp(float(optimize.brentq(short, low, high, xtol=1e-9))))


def power_at(one: Spread, rows: float, room: float, alpha: float) -> float:
    """Return how often a bound of so many rows shows a true difference, all doubts averaged over.

    The logarithm of the true variance lies around that of the estimate, by half its own variance
    higher: an estimate without bias has a lower logarithm.

    Args:
        one: what is known of one row.
        rows: their number.
        room: from the margin's boundary to the true difference, above 0.
        alpha: level of the bound.
    """
    rare = one.scarcity / math.sqrt(rows)
    # A class is rarer than on average as often as not, but its rows' weight grows by more then.
    more, unseen = 1.0 + rare**2, one.worst / rows
    node_Q, weight_Q = _rule() if one.doubt else (np.zeros(1), np.ones(1))
    shown = 0.0
    for node, weight in zip(node_Q.tolist(), weight_Q.tolist(), strict=True):
        variance = one.variance * math.exp(one.doubt**2 / 2.0 + one.doubt * node)
        error = math.sqrt(variance * more / rows)
        needed = reached(error, unseen * more, alpha)
        swing = reached(error, unseen * (more + rare), alpha) - needed
        noise = math.hypot(error, swing)
        shown += weight * (
            float(special.ndtr((room - needed) / noise)) if noise else float(room >= needed)
        )
    return shown


def reached(error: float, unseen: float, alpha: float) -> float:
    """Return what a normal variable and an exponential one exceed together with probability alpha.

    The one is the estimate's error; the other the weight of one row more at the worst, as in
    `mlops.core.unseen`. Alone they reach z(1-α) and -ln α.

    Args:
        error: standard deviation of the first.
        unseen: mean of the second.
        alpha: the probability.
    """
    z = -float(special.ndtri(alpha))
    if unseen <= _FAINT * error or error <= _FAINT * unseen:
        return z * error - unseen * math.log(alpha)

    def excess(value: float) -> float:
        ratio, place = error / unseen, value / error
        tail = ratio**2 / 2.0 - value / unseen + float(special.log_ndtr(place - ratio))
        return float(special.ndtr(-place)) + math.exp(tail) - alpha

    furthest = -float(special.ndtri(alpha / 2.0)) * error - unseen * math.log(alpha / 2.0)
    return float(optimize.brentq(excess, 0.0, furthest))


@cache
def _rule() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights of a standard normal variable's mean."""
    node_Q, weight_Q = np.polynomial.hermite_e.hermegauss(_NODES)
    return node_Q, weight_Q / weight_Q.sum()
