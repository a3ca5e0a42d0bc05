"""How far groups of rows lie apart in a share, such as accuracy, with what chance leaves open.

Sources:
    E. B. Wilson (1927), J. Am. Stat. Assoc. 22: the interval of one group's share.
    Z. Šidák (1967), J. Am. Stat. Assoc. 62: intervals of several groups that all hold together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core.intervals import Interval, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Counted:
    """A group of rows.

    Attributes:
        name: of the group.
        hits: rows with the property; a fraction where rows depend on each other.
        rows: all of them, likewise; 1 or more.
    """

    name: str
    hits: float
    rows: float

    @property
    def share(self) -> float:
        """Of the rows that have the property."""
        return self.hits / self.rows


def spread(groups: Sequence[Counted], confidence: float) -> tuple[Interval, Interval]:
    """Return largest minus smallest share, and smallest over largest, with their intervals.

    The largest of several differences is biased upward, and so is its bootstrap. These intervals
    follow from the groups' own, widened so that all of them hold together: they hold at least as
    often as they say.

    Args:
        groups: two or more.
        confidence: coverage of each interval.
    """
    own = [wilson(g.hits, g.rows, confidence ** (1.0 / len(groups))) for g in groups]
    low, high = [i.low for i in own], [i.high for i in own]
    least, most = min(g.share for g in groups), max(g.share for g in groups)
    return (
        Interval(most - least, max(0.0, max(low) - min(high)), max(high) - min(low)),
        Interval(
            least / most if most > 0.0 else 1.0,
            min(low) / max(high),
            min(1.0, min(high) / max(low)) if max(low) > 0.0 else 1.0,
        ),
    )


def gap_bounds(groups: Sequence[Counted], alpha: float) -> Interval:
    """Return largest minus smallest share between two one-sided bounds, each at level alpha.

    The upper one fails only if the group that is truly best lies above its own limit or the one
    that is truly worst below: two events of alpha / 2, however many groups there are. Any group
    may make the lower one fail, so that there all limits must hold together.

    Args:
        groups: two or more.
        alpha: level of each bound.
    """
    each = [wilson(g.hits, g.rows, 1.0 - alpha) for g in groups]
    difference, _ = spread(groups, 1.0 - alpha)
    upper = max(i.high for i in each) - min(i.low for i in each)
    return Interval(difference.value, difference.low, upper)
