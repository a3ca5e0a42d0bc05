"""How many more labels would settle what a guardrail left open, or that no number of them would."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scipy import optimize, special

if TYPE_CHECKING:
    from mlops.core.decision import Check

_ROUNDING = 1e-6  # of what a bound reaches: so near the boundary no number of rows is told
_FAINT = 1e-3  # of two parts, one so much smaller than the other changes nothing


@dataclass(frozen=True)
class Levels:
    """What a bound was made with, and what the next one will be.

    Attributes:
        alpha: one-sided level of the bound.
        again: that of the next look at more rows; nothing where labels bring no more of them.
        power: with which the next bound is to settle it.
    """

    alpha: float
    again: float | None
    power: float


def wanted(
    rows: int, bound: tuple[float, float], margin: float, levels: Levels,
    parts: tuple[float, float] | None = None,
) -> int | None:  # fmt: skip
    """Return how many more rows settle a guardrail either way, or nothing if no number is known.

    n = (z(1-α) + z(power))² · v / (Δ₁ + δ)² as for the primary metric, in the guardrail's own unit.
    The variance v, the design effect in it, is read from the bound, which reaches z(1-α) √(v / n),
    unless it says what its reach is made of. No effect is declared for a guardrail: Δ₁ is the
    difference seen, taken for the true one.

    Args:
        rows: behind the bound.
        bound: the gain seen, and its lower bound.
        margin: δ, which may be lost.
        levels: of the bound, and of the next.
        parts: the gain's standard error, and what one row more at the worst would move it by.
    """
    gain, lower = bound
    reach, room = gain - lower, abs(gain + margin)
    if levels.again is None or not math.isfinite(reach) or room <= _ROUNDING * reach:
        return None
    error, unseen = parts or (reach / -float(special.ndtri(levels.alpha)), 0.0)
    needed = rows_needed(rows * error**2, rows * unseen, room, (levels.again, levels.power))
    return max(needed - rows, 0)


def rows_needed(
    variance: float, worst: float, room: float, probabilities: tuple[float, float]
) -> int:
    """Return the rows at which a bound shows a true difference with the power asked for.

    Without a worst it is the textbook's n = (z(1-α) + z(power))² v / (Δ₁ + δ)².

    Args:
        variance: v of one row, above 0 or with a worst that is.
        worst: what one row can bring at worst, which the bound holds in reserve.
        room: Δ₁ + δ, from the margin's boundary to the true difference, above 0.
        probabilities: level of the bound, and power.
    """
    alpha, power = probabilities
    z = float(special.ndtri(power))

    def beyond(step: float) -> float:
        """Return by how much 1 / step² rows reach too far."""
        error = step * math.sqrt(variance)
        return reached(error, step**2 * worst, alpha) + z * error - room

    most = 1.0
    while beyond(most) < 0.0:
        most *= 2.0
    return math.ceil(1.0 / float(optimize.brentq(beyond, 0.0, most, rtol=1e-10)) ** 2)


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


def larger(rows: int, members: int, least: int) -> int | None:
    """Return how many more rows, chosen at random, make a part of them large enough.

    Args:
        rows: all of them.
        members: those of the part.
        least: how many it must have.
    """
    return math.ceil((least - members) * rows / members) if members else None


def told(check: Check, labels: int | None, levels: Levels | None = None) -> Check:
    """Return a check that was left open with what would settle it; any other as it is.

    Args:
        check: of a guardrail.
        labels: how many more would; nothing if no number is known.
        levels: of its bound, if it has one.
    """
    if check.passed is not None:
        return check
    if labels is None and levels is not None and levels.again is None:
        words = "no number of labels settles it: base test rows do not become more"
    elif labels is None:
        words = "no number of labels is known to settle it"
    else:
        words = f"about {labels} more labels would settle it"
    return replace(check, labels=labels, words=f"{check.words}; {words}")
