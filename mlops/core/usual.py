"""What a model's reference rows hold, and how a window's rows break with it.

Bluntly: half of the rows that held something do not any more, and no chance explains that. What
moves less is drift, whose thresholds are calibrated; this is for what a broken source sends, and
pages a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from mlops.core.amounts import number
from mlops.core.columns import blank
from mlops.core.schema import UNKNOWN_CATEGORY, TableSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import Schema

_BLANK_EXTRA = 0.05
_BLANK_FACTOR = 3.0
_LEAST = 0.01  # share of odd rows that any source may send, though the reference has none
_CHANCE = 1e-6
_WIDTHS = 10.0  # of the reference's range, which a number is beyond before it counts as out of it


@dataclass(frozen=True)
class Usual:
    """Shares of the reference rows, and ranges.

    Attributes:
        blank: examples that hold nothing, see `mlops.core.columns.blank`.
        repeated: copies of the most frequent example.
        missing: of each column of a table, rows without a value; empty for other kinds.
        unknown: likewise, of those that have one, rows with a name that the schema does not list.
        ranges: likewise, smallest and largest number; None where there is none to keep to.
    """

    blank: float
    repeated: float
    missing: tuple[float, ...] = ()
    unknown: tuple[float, ...] = ()
    ranges: tuple[tuple[float, float] | None, ...] = ()


def usual(features: NDArray[Any], schema: Schema) -> Usual:
    """Describe reference rows, (N, *shape) of the schema, N above 0."""
    flat = np.ascontiguousarray(features.reshape(len(features), -1))
    whole = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    _, counts = np.unique(whole, return_counts=True)
    found = Usual(float(blank(features).mean()), float(counts.max() / len(features)))
    if not isinstance(schema, TableSchema):
        return found
    ranges: list[tuple[float, float] | None] = []
    for value_N, column in zip(features.T, schema.columns, strict=True):
        known_N = value_N[~np.isnan(value_N)]
        kept = column.kind == "number" and not column.time and len(known_N) > 0
        ranges.append((float(known_N.min()), float(known_N.max())) if kept else None)
    missing, unknown = _missing(features), _unknown(features, schema)
    return Usual(found.blank, found.repeated, missing, unknown, tuple(ranges))


@dataclass(frozen=True)
class Contents:
    """What a window's rows hold, counted: breaks are made of it, and the window's page shows it.

    Attributes:
        rows: that are of the schema.
        blank: of them that hold nothing.
        missing: of each column of a table, rows without a value; empty for other kinds.
        unknown: likewise, names that the schema does not list.
        beyond: likewise, numbers far outside the reference's range, see `far`.
    """

    rows: int
    blank: int
    missing: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    beyond: tuple[int, ...] = ()

    def share(self, odd: tuple[int, ...], c: int) -> float:
        """Return the share of a column's values, missing ones left out, that `odd` counts."""
        known = self.rows - self.missing[c]
        return odd[c] / known if known else 0.0


def contents(features: NDArray[Any], schema: Schema, before: Usual) -> Contents:
    """Count what rows hold.

    Args:
        features: (N, *shape) of the schema.
        schema: of the version.
        before: its reference rows.
    """
    rows = len(features)
    if not isinstance(schema, TableSchema):
        return Contents(rows, int(blank(features).sum()) if rows else 0)
    gone_NC = np.isnan(features)
    return Contents(
        rows, int(gone_NC.all(axis=1).sum()),
        missing=tuple(map(int, gone_NC.sum(axis=0))),
        unknown=tuple(
            int((features[:, c] == UNKNOWN_CATEGORY).sum()) if column.kind == "category" else 0
            for c, column in enumerate(schema.columns)
        ),
        beyond=_beyond(features, before),
    )  # fmt: skip


def _beyond(features: NDArray[np.float64], before: Usual) -> tuple[int, ...]:
    """Count each column's numbers that lie far outside; only where the extremes do."""
    low_C = np.fmin.reduce(features, axis=0, initial=np.inf)
    high_C = np.fmax.reduce(features, axis=0, initial=-np.inf)
    found = []
    for value_N, low, high, limits in zip(
        features.T, low_C, high_C, map(far, before.ranges), strict=True
    ):
        if limits is None or (limits[0] <= low and high <= limits[1]):
            found.append(0)
        else:
            found.append(int(((value_N < limits[0]) | (value_N > limits[1])).sum()))
    return tuple(found)


def broken(held: Contents, schema: Schema, before: Usual) -> list[str]:
    """Return how the contents of a window's rows break with the reference, as `name: words`.

    The name of a check of a column holds the column's: two columns that break are two causes.

    Args:
        held: what they hold.
        schema: of the version.
        before: its reference rows.
    """
    if not held.rows:
        return []
    found, gone = [], held.blank / held.rows
    if gone > max(before.blank + _BLANK_EXTRA, _BLANK_FACTOR * before.blank):
        found.append(
            f"blank: {gone:.0%} of the rows are empty or of one colour, "
            f"in the reference {before.blank:.0%}"
        )
    if isinstance(schema, TableSchema):
        for c, column in enumerate(schema.columns):
            found += _broken_column(held, c, column.name, before)
    return found


def _broken_column(held: Contents, c: int, name: str, before: Usual) -> list[str]:
    found, known = [], held.rows - held.missing[c]
    missing = held.missing[c] / held.rows
    if _much(missing, before.missing[c], held.rows):
        found.append(
            f"missing {name}: no value in {missing:.0%} of the rows, in the reference "
            f"in {before.missing[c]:.0%}"
        )
    unknown = held.share(held.unknown, c)
    if _much(unknown, before.unknown[c], known):
        found.append(
            f"unknown {name}: names in {unknown:.0%} of its values that the model does "
            f"not know, in the reference in {before.unknown[c]:.0%}"
        )
    limits, beyond = before.ranges[c], held.share(held.beyond, c)
    if limits is not None and _much(beyond, 0.0, known):
        found.append(
            f"range {name}: far outside {number(limits[0])} to {number(limits[1])}, the "
            f"reference's range, in {beyond:.0%} of its values"
        )
    return found


def far(limits: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the ends of a range, ten times its width away: what lies outside is no drift.

    A constant's width is its own size: a 1 that became 5 is drift, a 1 that became 100 is not.
    None where there is nothing to be outside of.
    """
    if limits is None:
        return None
    low, high = limits
    away = _WIDTHS * (high - low or max(abs(low), abs(high)))
    return (low - away, high + away) if away else None


def _much(share: float, before: float, rows: int) -> bool:
    """Say whether half of the rows that were in order are not any more, beyond all chance."""
    if share <= before + (1.0 - before) / 2.0:
        return False
    kept = rows - round(share * rows)
    return float(special.bdtr(kept, rows, 1.0 - max(before, _LEAST))) < _CHANCE


def _missing(features: NDArray[Any]) -> tuple[float, ...]:
    return tuple(np.isnan(features).mean(axis=0).tolist())


def _unknown(features: NDArray[Any], schema: TableSchema) -> tuple[float, ...]:
    return tuple(
        _share(value_N == UNKNOWN_CATEGORY, value_N) if column.kind == "category" else 0.0
        for value_N, column in zip(features.T, schema.columns, strict=True)
    )


def _share(odd_N: NDArray[np.bool_], value_N: NDArray[np.float64]) -> float:
    """Return the share of the values, missing ones left out, that are odd."""
    known = int((~np.isnan(value_N)).sum())
    return float(odd_N.sum()) / known if known else 0.0
