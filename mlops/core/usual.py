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


def contents(features: NDArray[Any], schema: Schema, before: Usual) -> list[str]:
    """Return how the contents of a window's rows break with the reference, as `name: words`.

    Args:
        features: (N, *shape) of the schema.
        schema: of the version.
        before: its reference rows.
    """
    if not len(features):
        return []
    found, gone = [], float(blank(features).mean())
    if gone > max(before.blank + _BLANK_EXTRA, _BLANK_FACTOR * before.blank):
        found.append(
            f"blank: {gone:.0%} of the rows are empty or of one colour, "
            f"in the reference {before.blank:.0%}"
        )
    if not isinstance(schema, TableSchema):
        return found
    rows, missing, unknown = len(features), _missing(features), _unknown(features, schema)
    for c, column in enumerate(schema.columns):
        name, known = column.name, rows - round(missing[c] * rows)
        if _much(missing[c], before.missing[c], rows):
            found.append(
                f"missing: {name} has no value in {missing[c]:.0%} of the rows, in the reference "
                f"in {before.missing[c]:.0%}"
            )
        if _much(unknown[c], before.unknown[c], known):
            found.append(
                f"unknown: {name} has names in {unknown[c]:.0%} of its values that the model does "
                f"not know, in the reference in {before.unknown[c]:.0%}"
            )
        limits = before.ranges[c]
        beyond = 0.0 if limits is None else _beyond(features[:, c], *limits)
        if limits is not None and _much(beyond, 0.0, known):
            found.append(
                f"range: {name} lies far outside {number(limits[0])} to {number(limits[1])}, the "
                f"reference's range, in {beyond:.0%} of its values"
            )
    return found


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


def _beyond(value_N: NDArray[np.float64], low: float, high: float) -> float:
    """Return the share of values that are farther outside a range than ten times its width.

    A constant's width is its own size: a 1 that became 5 is drift, a 1 that became 100 is not.
    """
    away = _WIDTHS * (high - low or max(abs(low), abs(high)))
    if away == 0.0:
        return 0.0
    return _share((value_N < low - away) | (value_N > high + away), value_N)
