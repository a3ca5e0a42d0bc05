"""Rows of a table → one array per column: strict about columns and types, not about categories.

Missing is `null`, and NaN to the model. A category that the schema does not list is no error: the
world has new ones before a model does. It is counted, and the model sees the code for unknown.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.schema import LARGEST
from mlops.core.times import WRITTEN, seconds
from mlops.serving import metrics
from mlops.serving.reply import invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import Column, TableSchema

    Columns = tuple[NDArray[Any], ...]

_NAMED = 10


def check_names(given: Collection[str], schema: TableSchema, field: str) -> None:
    """Refuse columns other than the schema's.

    Raises:
        Refused: 422 naming those that are missing, or too many.
    """
    names = [column.name for column in schema.columns]
    missing = [name for name in names if name not in given]
    if missing:
        raise invalid(
            f"columns are missing: {_few(missing)}", field=field,
            remedy=f"send null for what is not known; the columns are {_few(names)}",
        )  # fmt: skip
    if len(given) > len(names):
        extra = [name for name in given if name not in names]
        raise invalid(
            f"columns that the model does not know: {_few(extra)}", field=field,
            remedy=f"leave them out; the columns are {_few(names)}",
        )  # fmt: skip


def from_columns(values: Mapping[str, Sequence[Any]], schema: TableSchema, field: str) -> Columns:
    """Return columns of equal lengths in the schema's order, see `mlops.core.features`.

    Raises:
        Refused: 422 naming the column and what is wrong with it.
    """
    check_names(values, schema, field)
    return tuple(one_column(values[c.name], c) for c in schema.columns)


def from_matrix(value: Any, schema: TableSchema, field: str) -> Columns:
    """Return rows without names, their values in the order of the schema, as columns.

    Raises:
        Refused: 422 as `from_columns`, or for a row of another width.
    """
    width = len(schema.columns)
    if any(not isinstance(row, list) or len(row) != width for row in value):
        names = _few([column.name for column in schema.columns])
        raise invalid(
            f"every row must be an object, or a list of {width} values", field=field,
            remedy=f"the columns are {names}",
        )  # fmt: skip
    columns = zip(*value, strict=True)
    return tuple(one_column(part, c) for part, c in zip(columns, schema.columns, strict=True))


def one_column(values: Sequence[Any], column: Column) -> NDArray[Any]:
    """Return one column: float64 with NaN for missing, or an object array of text and None.

    Raises:
        Refused: 422 naming the column.
    """
    kinds = {*map(type, values)}
    if column.time and str in kinds:
        values = _seconds(values, column)
        kinds -= {str}
    if column.kind == "category":
        if not kinds <= {str, type(None)}:
            raise invalid("must be text or null", field=column.name)
        _count_unknown(values, column)
        return np.array(values, dtype=object)
    if not kinds <= {int, float, type(None)}:
        what = "times" if column.time else "numbers"
        raise invalid(f"must be {what} or null", field=column.name,
                      remedy=f"write {WRITTEN}" if column.time else "")  # fmt: skip
    numbers = np.array(values, dtype=np.float64)  # None becomes NaN
    if (np.abs(numbers) > LARGEST).any():
        raise invalid("must be numbers within ±3.4e38, or null", field=column.name)
    return numbers


def _seconds(values: Sequence[Any], column: Column) -> list[Any]:
    """Return a column of times with those in text as seconds.

    Raises:
        Refused: 422 naming the column and the first row whose text is no time.
    """
    found = [seconds(value) if isinstance(value, str) else value for value in values]
    pairs = enumerate(zip(values, found, strict=True))
    wrong = next((n for n, (value, at) in pairs if at is None and value is not None), None)
    if wrong is not None:
        raise invalid(f"row {wrong + 1} holds no time", field=column.name,
                      remedy=f"write {WRITTEN}")  # fmt: skip
    return found


def _count_unknown(values: Sequence[Any], column: Column) -> None:
    known = _known(column)
    unknown = sum(value not in known for value in values)
    if unknown:
        metrics.UNKNOWN_CATEGORIES.labels(column.name).inc(unknown)


@lru_cache(maxsize=4096)
def _known(column: Column) -> frozenset[str | None]:
    return frozenset({None, *column.categories})


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
