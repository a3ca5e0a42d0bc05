"""Parts of the rows that are ranges of some columns, and their names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NAMED = 4  # of a condition's categories


@dataclass(frozen=True)
class Condition:
    """A range of one column: `above` < value ≤ `upto`, either of them infinite.

    Attributes:
        column: its number.
        name: its name.
        above: lower limit, outside the range; ∞ if no value is inside.
        upto: upper limit, inside.
        categories: of a column of codes, those that were seen, each with its name.
        missing: whether rows without a value are inside, too.
    """

    column: int
    name: str
    above: float
    upto: float
    categories: tuple[tuple[float, str], ...] = ()
    missing: bool = False

    def __str__(self) -> str:
        """Write it as `contrast ≤ 0.21`, `contrast ≤ 0.21 or missing`, or `colour: red or blue`."""
        if self.categories:
            return self._named()
        if self.above == np.inf:
            return f"{self.name} missing"
        if (self.above, self.upto) == (-np.inf, np.inf):
            return f"{self.name} not missing"
        return f"{self._range()} or missing" if self.missing else self._range()

    def mask(self, value_N: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say of each value, NaN where it is missing, whether it is inside; bool (N,)."""
        inside_N = (value_N > self.above) & (value_N <= self.upto)
        return inside_N | np.isnan(value_N) if self.missing else inside_N

    def _range(self) -> str:
        if self.above == -np.inf:
            return f"{self.name} ≤ {self.upto:g}"
        if self.upto == np.inf:
            return f"{self.name} > {self.above:g}"
        return f"{self.above:g} < {self.name} ≤ {self.upto:g}"

    def _named(self) -> str:
        """Name the categories inside, or those outside where they are fewer."""
        inside = [name for code, name in self.categories if self.above < code <= self.upto]
        outside = [name for code, name in self.categories if not self.above < code <= self.upto]
        if len(inside) <= max(len(outside), 1):
            return f"{self.name}: {_either(inside)}"
        return f"{self.name}: not {_either(outside)}"


def _either(names: Sequence[str]) -> str:
    shown = (
        list(names) if len(names) <= _NAMED else [*names[:_NAMED], f"{len(names) - _NAMED} more"]
    )
    return " or ".join(shown)


@dataclass(frozen=True)
class FoundSlice:
    """Rows in a box of the columns, where the finding half scored low.

    Attributes:
        conditions: all of them hold.
    """

    conditions: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """`contrast ≤ 0.21 and sharpness > 0.4`: the exact limits, not rounded ones."""
        words = [str(c) for c in self.conditions]
        if len(words) > 1:
            words = [f"({one})" if " or " in one else one for one in words]
        return " and ".join(words)

    def seen(self, column_NC: NDArray[np.float64]) -> FoundSlice:
        """Return the slice without the missing values that none of these rows in it has."""
        kept = []
        for c in self.conditions:
            others = FoundSlice(tuple(o for o in self.conditions if o is not c))
            gone_N = np.isnan(column_NC[others.mask(column_NC), c.column])
            kept.append(c if gone_N.any() else replace(c, missing=False))
        return FoundSlice(tuple(kept))

    def mask(self, column_NC: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say of each row of (N, C) whether it lies in the slice; bool (N,)."""
        inside = np.ones(len(column_NC), dtype=bool)
        for c in self.conditions:
            inside &= c.mask(column_NC[:, c.column])
        return inside
