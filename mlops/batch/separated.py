"""CSV as rows, of a table's columns or of texts; a cell means what it means to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from mlops.batch.source import Batch
from mlops.batch.tables import bounded, explained, need, texts, wanted
from mlops.core.schema import ImageSchema, TableSchema
from mlops.errors import UsageError
from mlops.serving.reply import Refused
from mlops.serving.separated import read_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import Column, Schema


class Csv:
    """One CSV file with a header; other columns are ignored. Each part reads it from the start.

    Raises:
        UsageError: if the model takes images.
        DataError: if it is unreadable or lacks a column.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        if isinstance(schema, ImageSchema):
            msg = f"{path}: images do not stand in CSV; write Parquet with a column image, or .npy"
            raise UsageError(msg)
        self._path, self._schema, self._columns = path, schema, wanted(schema)
        with explained(path):
            need(path, self._columns, csv.open_csv(path).schema.names)
        self._rows: int | None = None

    def files(self) -> Sequence[Path]:
        """Return the one file."""
        return [self._path]

    def count(self) -> int:
        """Return the number of rows, counted once."""
        if self._rows is None:
            with explained(self._path):
                self._rows = sum(len(table) for table in self._stream())
        return self._rows

    def batches(self, start: int, stop: int, rows: int) -> Iterator[Batch]:
        """Yield rows, as `Source.batches`."""
        at = 0
        with explained(self._path):
            for table in self._stream():
                low, high = max(start - at, 0), min(stop - at, len(table))
                for place in range(low, high, rows):
                    part = table.slice(place, min(rows, high - place))
                    yield self._batch(at + place, part)
                at += len(table)
                if at >= stop:
                    return

    def _stream(self) -> Iterator[pa.RecordBatch]:
        """Yield cells as they are written: which are missing depends on the column."""
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(self._columns, pa.string()), include_columns=self._columns,
        )  # fmt: skip
        # A quoted line break must not end a row.
        parse = csv.ParseOptions(newlines_in_values=True)
        yield from csv.open_csv(self._path, parse_options=parse, convert_options=options)

    def _batch(self, start: int, table: pa.RecordBatch) -> Batch:
        bad: dict[int, str] = {}
        values: Any
        if isinstance(self._schema, TableSchema):
            values = tuple(_column(table.column(c.name), c, bad) for c in self._schema.columns)
        else:
            values = texts(table.column("text"), bad)
        return Batch(start, values, len(table), unreadable=bad)


def _column(cells: pa.Array, column: Column, bad: dict[int, str]) -> NDArray[Any]:
    """Return a column; a row that the server would refuse is unreadable."""
    found: list[Any] = []
    for place, text in enumerate(cells.to_pylist()):
        try:
            found.append(read_cell(text, column))
        except Refused as refused:
            found.append(None)
            bad.setdefault(place, f"{column.name} {refused.message}; {refused.remedy}".rstrip("; "))
    if column.kind == "category":
        return np.array(found, dtype=object)
    return bounded(np.array(found, dtype=np.float64), column, bad)  # None becomes NaN
