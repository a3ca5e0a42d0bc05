"""How many more labels would settle what a guardrail left open, or that no number of them would."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scipy import special

from mlops.core.reach import Spread, rows_needed

if TYPE_CHECKING:
    from mlops.core.decision import Check

_ROUNDING = 1e-6  # of what a bound reaches: so near the boundary no number of rows is told


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
    one: Spread | None = None,
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
        one: what is known of one row.
    """
    gain, lower = bound
    reach, room = gain - lower, abs(gain + margin)
    if levels.again is None or not math.isfinite(reach) or room <= _ROUNDING * reach:
        return None
    error = reach / -float(special.ndtri(levels.alpha))
    needed = rows_needed(one or Spread(rows * error**2), room, levels.again, levels.power)
    return max(needed - rows, 0)


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
