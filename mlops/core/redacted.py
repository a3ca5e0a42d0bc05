"""What of a prediction is not to be kept: which fields and columns, and how a column is blanked.

`MLOPS_REDACT` is a line of CSV. `entity` and `features` are the fields of a prediction, any other
name is a column of the table; `column:NAME` is always one, for a column called `features`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.columns import look_names
from mlops.core.schema import TableSchema, table_columns
from mlops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mlops.core.columns import Columns
    from mlops.core.schema import Column, Schema

FIELDS = ("entity", "features")
"""Fields of a prediction that callers fill, and that can be redacted."""

COLUMN = "column:"
"""Before a name: it is a column's, whatever else is called so."""


@dataclass(frozen=True)
class Redact:
    """What `MLOPS_REDACT` names.

    Attributes:
        text: as it was written.
        fields: of `FIELDS`.
        columns: names of a table's columns, in the order they were written.
    """

    text: str
    fields: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def need(self, schema: Schema, whose: str) -> None:
        """Refuse the name of a column that there is not: a typo would leave it in the log.

        Args:
            schema: of the examples.
            whose: they are, such as `version 3`.

        Raises:
            UsageError: naming the value, the name and the columns that there are.
        """
        self.need_among([column.name for column in table_columns(schema)], whose)

    def need_among(self, known: Sequence[str], whose: str) -> None:
        """Do the same, given the names of the columns; examples of other kinds have none."""
        for name in self.columns:
            if name in known:
                continue
            near = get_close_matches(name, known, n=1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            there = f"and no column of {whose}{meant}, which has {', '.join(known) or 'none'}"
            raise UsageError(
                f"MLOPS_REDACT = {self.text!r}: {name!r} is no field of a prediction "
                f"({', '.join(FIELDS)}) {there}; correct it, or leave it out"
            )


def parse_redact(text: str) -> Redact:
    """Read `MLOPS_REDACT`; whether there are such columns only a schema tells.

    Raises:
        UsageError: if it is no line of CSV, or a column has no name.
    """
    try:
        rows = [*csv.reader([text], skipinitialspace=True, strict=True)]
    except csv.Error as error:
        msg = f"MLOPS_REDACT = {text!r}: {error}; write names, separated by commas"
        raise UsageError(f'{msg}, those with a comma in quotation marks: entity,"a, b"') from None
    names = dict.fromkeys(name.strip() for row in rows for name in row if name.strip())
    fields = tuple(name for name in names if name in FIELDS)
    columns = (name.removeprefix(COLUMN).strip() for name in names if name not in FIELDS)
    found = Redact(text, fields, tuple(dict.fromkeys(columns)))
    if not all(found.columns):
        msg = f"MLOPS_REDACT = {text!r}: {COLUMN} names no column; write {COLUMN}NAME"
        raise UsageError(msg)
    return found


def present(names: Sequence[str], schema: Schema) -> tuple[str, ...]:
    """Return those of the names that are columns of a schema, in its order."""
    return tuple(column.name for column in table_columns(schema) if column.name in names)


def blank_values(values: Any, schema: Schema, names: Sequence[str]) -> Any:
    """Return values, as in `mlops.core.features`, with some columns missing in every row."""
    if not names or not isinstance(schema, TableSchema):
        return values
    return tuple(
        _nothing(len(one), column) if column.name in names else one
        for one, column in zip(values, schema.columns, strict=True)
    )


def blank_rows(array: NDArray[Any], schema: Schema, names: Sequence[str]) -> NDArray[Any]:
    """Return a model's input, (N, *shape), with some columns missing in every row."""
    gone = [n for n, column in enumerate(table_columns(schema)) if column.name in names]
    if not gone:
        return array
    blanked = array.copy()
    blanked[:, gone] = np.nan
    return blanked


def looks_of(schema: Schema, names: Sequence[str]) -> tuple[str, ...]:
    """Return the monitored columns that some columns of a table give: a time gives three."""
    if not isinstance(schema, TableSchema):
        return ()
    chosen = tuple(column for column in schema.columns if column.name in names)
    *own, _ = look_names(replace(schema, columns=chosen))  # the last says how much is missing
    return tuple(own)


def without(rows: Columns, schema: Schema, names: Sequence[str]) -> Columns:
    """Return monitored columns less those that are made of some columns of a table."""
    gone = looks_of(schema, names)
    if not gone:
        return rows
    at = [n for n, name in enumerate(rows.names) if name not in gone]
    return replace(
        rows, names=tuple(rows.names[n] for n in at), values=rows.values[:, at],
        named=tuple(name for name in rows.named if name not in gone),
    )  # fmt: skip


def union(found: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return every name of several rows, sorted: what no row of a window may be judged by."""
    return tuple(sorted({name for names in set(map(tuple, found)) for name in names}))


def unwatched(names: Sequence[str]) -> str:
    """Say what a window is not judged by; empty for nothing."""
    return f"Not watched: {', '.join(names)} (redacted)" if names else ""


def _nothing(rows: int, column: Column) -> NDArray[Any]:
    if column.kind == "number":
        return np.full(rows, np.nan)
    return np.full(rows, None, dtype=object)
