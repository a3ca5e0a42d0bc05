"""Parquet as rows: of a table's columns, of texts, or of images in a column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops.batch.pictures import read_image
from mlops.batch.source import Batch
from mlops.core.schema import LARGEST, Column, ImageSchema, TableSchema, TextSchema
from mlops.core.times import WRITTEN, seconds
from mlops.errors import DataError
from mlops.serving.images import is_picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import Schema

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Parquet:
    """One Parquet file, or all of a folder in the order of their names; other columns are ignored.

    Raises:
        DataError: if a file is unreadable or lacks a column.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self._schema, self._columns = schema, wanted(schema)
        self._files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
        self._rows = []
        for file in self._files:
            with explained(file):
                found = pq.read_metadata(file)
                need(file, self._columns, found.schema.to_arrow_schema().names)
            self._rows.append(found.num_rows)

    def files(self) -> Sequence[Path]:
        """Return the Parquet files."""
        return self._files

    def count(self) -> int:
        """Return the number of rows."""
        return sum(self._rows)

    def batches(self, start: int, stop: int, rows: int) -> Iterator[Batch]:
        """Yield rows, as `Source.batches`; batches end where a file or row group ends."""
        first = 0
        for file, count in zip(self._files, self._rows, strict=True):
            if first < stop and first + count > start:
                with explained(file):
                    tables = self._read(file, max(0, start - first), min(count, stop - first), rows)
                    for at, table in tables:
                        yield _batch(first + at, table, self._schema)
            first += count

    def _read(
        self, path: Path, start: int, stop: int, rows: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the rows of one file from `start` to `stop`, reading only row groups with some."""
        with pq.ParquetFile(path) as file:
            at = 0
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if at < stop and at + size > start:
                    place = at
                    for table in file.iter_batches(rows, row_groups=[group], columns=self._columns):
                        low, high = max(start - place, 0), min(stop - place, len(table))
                        if low < high:
                            yield place + low, table.slice(low, high - low)
                        place += len(table)
                at += size


def wanted(schema: Schema) -> list[str]:
    """Return the columns that an example is made of."""
    if isinstance(schema, TableSchema):
        return [column.name for column in schema.columns]
    return ["text" if isinstance(schema, TextSchema) else "image"]


def _batch(start: int, table: pa.RecordBatch, schema: Schema) -> Batch:
    bad: dict[int, str] = {}
    if isinstance(schema, TableSchema):
        values: Any = tuple(_column(table.column(c.name), c, bad) for c in schema.columns)
    elif isinstance(schema, TextSchema):
        values = texts(table.column("text"), bad)
    else:
        values = _images(table.column("image").to_pylist(), schema, bad)
    return Batch(start, values, len(table), unreadable=bad)


def _column(found: pa.Array, column: Column, bad: dict[int, str]) -> NDArray[Any]:
    if column.time:
        found = _times(found, column, bad)
    _check_kind(found.type, column)
    if column.kind == "category":
        return np.array(found.cast(pa.string()).to_pylist(), dtype=object)
    return bounded(found.cast(pa.float64()).to_numpy(zero_copy_only=False), column, bad)


def bounded(numbers: NDArray[Any], column: Column, bad: dict[int, str]) -> NDArray[np.float64]:
    """Return numbers as float64; a row with one that is too large is unreadable, and NaN."""
    numbers = np.array(numbers, dtype=np.float64)
    for place in np.flatnonzero(np.abs(numbers) > LARGEST):
        bad.setdefault(int(place), f"{column.name} is beyond ±3.4e38")
        numbers[place] = np.nan
    return numbers


def _times(found: pa.Array, column: Column, bad: dict[int, str]) -> pa.Array:
    """Return a column of times as seconds; a row whose text is no time is unreadable."""
    if pa.types.is_timestamp(found.type) or pa.types.is_date(found.type):
        micros = found.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return pc.divide(micros.cast(pa.float64(), safe=False), 1e6)
    if not (pa.types.is_string(found.type) or pa.types.is_large_string(found.type)):
        return found
    texts = [None if text is None else text.strip() for text in found.to_pylist()]
    known = [None if text is None else _second(text) for text in texts]
    for place, (text, at) in enumerate(zip(texts, known, strict=True)):
        if at is None and text is not None:
            bad.setdefault(place, f"{column.name} is no time; write {WRITTEN}")
    return pa.array(known, pa.float64())


def _second(text: str) -> float | None:
    """Return a time in text: ISO 8601, or a number."""
    return float(text) if _NUMBER.fullmatch(text) else seconds(text)


def _check_kind(found: pa.DataType, column: Column) -> None:
    """Refuse text for numbers and numbers for text: Arrow would convert both without a word."""
    kind = found.value_type if pa.types.is_dictionary(found) else found
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (pa.types.is_null(kind) or (text if column.kind == "category" else number)):
        wanted_kind = "text" if column.kind == "category" else "numbers"
        raise DataError(f"column {column.name} holds {found}, the model takes {wanted_kind}")


def texts(column: pa.Array, bad: dict[int, str]) -> list[str]:
    """Return a column of texts; a row without one is unreadable, and empty."""
    found = column.to_pylist()
    for place, text in enumerate(found):
        if not isinstance(text, str) or not text or "\0" in text:
            bad[place] = "no text, or a NUL in it"
    return ["" if place in bad else text for place, text in enumerate(found)]


def _images(found: list[Any], schema: ImageSchema, bad: dict[int, str]) -> NDArray[np.uint8]:
    """Read raw pixels, rows × columns × channels, or whole image files."""
    images = np.zeros((len(found), *schema.shape), dtype=np.uint8)
    for place, content in enumerate(found):
        try:
            if not isinstance(content, bytes):
                bad[place] = "no image"
            elif len(content) == schema.size_bytes and not is_picture(content):
                images[place] = np.frombuffer(content, dtype=np.uint8).reshape(schema.shape)
            else:
                images[place] = read_image(content, schema)
        except DataError as error:
            bad[place] = str(error)
    return images


def need(path: Path, columns: Sequence[str], found: Sequence[str]) -> None:
    """Refuse a file without a column that the model takes.

    Raises:
        DataError: naming the first that are missing.
    """
    missing = [name for name in columns if name not in found]
    if missing:
        raise DataError(f"{path}: lacks the columns {', '.join(missing[:10])} that the model takes")


class explained:  # noqa: N801 - reads as a word in `with`
    """Tell Arrow's errors as the file's."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError | ValueError):
            what = str(error).splitlines()[0][:200]
            raise DataError(f"{self._path}: unreadable ({what})") from None
