"""Columns of CSV and Parquet files, for the sources `table` and `text`: bounded, and never guessed.

A cell of a CSV file is text or missing until a source says what its column is.
"""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from mlops.errors import DataError, ParamsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.params.data import DataSection

MAX_BYTES = 2 * 1024**3
"""Most bytes of one file once it is unpacked: memory is bounded by this, not by the file."""
MAX_CELLS = 500_000_000
_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def read_table(section: DataSection, root: Path) -> pa.Table:
    """Return every row of the file or the folder's files that `data.path` names, in name order.

    Raises:
        ParamsError: if `data.path` is not set.
        DataError: naming the file that is missing, damaged, too large or unlike the others.
    """
    if section.path is None:
        msg = f'params.yaml: data.source = "{section.source}" reads files; name them in data.path'
        raise ParamsError(msg)
    path = root / section.path
    paths = sorted(p for p in path.iterdir() if p.name.endswith(_SUFFIXES)) if path.is_dir() else []
    if path.is_dir() and not paths:
        raise DataError(f"{path}: holds no file called {' or '.join(_SUFFIXES)}")
    tables = [_read(one, section) for one in paths or [path]]
    for one, found in zip(paths, tables, strict=False):
        if found.schema != tables[0].schema:
            odd = set(found.schema).symmetric_difference(tables[0].schema)
            names = ", ".join(sorted({field.name for field in odd}))
            raise DataError(f"{one}: columns differ from {paths[0].name}'s ({names or 'order'})")
    return pa.concat_tables(tables)


def _read(path: Path, section: DataSection) -> pa.Table:
    try:
        if path.name.endswith(".parquet"):
            return _parquet(path)
        return _csv(path, section)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; see params.yaml: data.path") from None
    except (pa.ArrowException, OSError, EOFError, zlib.error, ValueError) as error:
        what = str(error).splitlines()[0][:200]
        raise DataError(f"{path}: cannot be read ({what}); repair the file") from None


def _parquet(path: Path) -> pa.Table:
    known = pq.read_metadata(path)
    if known.num_rows * known.num_columns > MAX_CELLS:
        msg = f"{path}: claims {known.num_rows} × {known.num_columns} cells, above {MAX_CELLS}"
        raise DataError(msg)
    return pq.read_table(path).replace_schema_metadata()


def _csv(path: Path, section: DataSection) -> pa.Table:
    with path.open("rb") as raw:
        stream: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: more than {MAX_BYTES} bytes once unpacked; split the file")
    tabs = path.name.removesuffix(".gz").endswith(".tsv")
    separator = section.separator or ("\t" if tabs else ",")
    reading = pa.csv.ReadOptions(column_names=list(section.columns) or None)
    parsing = pa.csv.ParseOptions(
        delimiter=separator, quote_char='"' if section.quoted else False,
        newlines_in_values=section.quoted,
    )  # fmt: skip
    head = pa.csv.open_csv(pa.BufferReader(content), reading, parsing).schema.names
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(head, pa.string()))
    table = pa.csv.read_csv(pa.BufferReader(content), reading, parsing, as_text)
    trimmed = [_trimmed(column, section.missing) for column in table.columns]
    return pa.table(trimmed, names=[name.strip() for name in table.column_names])


def _trimmed(column: pa.ChunkedArray, missing: Sequence[str]) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(column)
    gone = pc.is_in(text, value_set=pa.array(missing, pa.string()))
    return pc.if_else(gone, None, text)


def need_column(table: pa.Table, name: str | None, key: str) -> pa.ChunkedArray:
    """Return a column that a parameter names.

    Raises:
        ParamsError: if the parameter is not set, or names no column.
    """
    if name is None or name not in table.column_names:
        said = "is not set" if name is None else f'= "{name}" is no column'
        known = ", ".join(table.column_names[:30])
        raise ParamsError(f"params.yaml: data.{key} {said}; columns: {known}")
    return table.column(name)


def as_numbers(column: pa.ChunkedArray, name: str) -> NDArray[np.float64] | None:
    """Return a column as float64 with NaN for missing; None if it holds names.

    Raises:
        DataError: if it holds both, an infinite number, or something that is neither.
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        numbers = column.cast(pa.float64())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        looks = pc.match_substring_regex(column, _NUMBER)
        alike = pc.unique(looks.drop_null()).to_pylist()
        if len(alike) == 2:
            first = next(v.as_py() for v in pc.filter(column, pc.invert(looks)))
            raise DataError(
                f"column {name} holds numbers and text such as {first!r}; add that to "
                "data.missing, or the column to data.categorical or data.drop"
            )
        if alike == [False]:
            return None
        numbers = column.cast(pa.float64())
    elif pa.types.is_boolean(kind) or pa.types.is_dictionary(kind):
        return None
    else:
        raise DataError(
            f"column {name} is of the type {kind}, which is neither a number nor text; add it to "
            "data.drop, or name it as data.time"
        )
    found: NDArray[np.float64] = numbers.to_numpy().astype(np.float64)
    if np.isinf(found).any():
        raise DataError(f"column {name} holds an infinite number; mark it as missing")
    return found


def as_names(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as text, None for missing; objects, (N,)."""
    return np.array(column.cast(pa.string()).to_pylist(), dtype=object)


def as_times(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    """Return a column as seconds since 1970, float64 with NaN for missing.

    Raises:
        DataError: if it holds no times.
    """
    try:
        if pa.types.is_string(column.type):
            seconds = as_numbers(column, name)
            if seconds is not None:
                return seconds
            column = column.cast(pa.timestamp("us"))
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            micros = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
            return np.asarray(micros.cast(pa.float64(), safe=False).to_numpy()) / 1e6
        seconds = as_numbers(column, name)
    except pa.ArrowException as error:
        what = str(error).splitlines()[0][:120]
        raise DataError(f"column {name} (data.time) holds no times: {what}") from None
    if seconds is None:
        raise DataError(f"column {name} (data.time) holds no times; write ISO 8601 or seconds")
    return seconds


def as_labels(
    column: pa.ChunkedArray, name: str, *, regression: bool
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels and the names of the classes, sorted; none for regression.

    Raises:
        DataError: if a target of a regression is no number, or one of a classification has
            hundreds of values.
    """
    if regression:
        numbers = as_numbers(column, name)
        if numbers is None:
            raise DataError(f"column {name} holds text; data.task = regression needs numbers")
        return numbers, ()
    names = as_names(column)
    classes = sorted({v for v in names if v is not None}, key=_by_number)
    if len(classes) > _MAX_CLASSES:
        raise DataError(
            f"column {name} has {len(classes)} different labels; write data.task: regression, or "
            "name another data.target"
        )
    known = {v: n for n, v in enumerate(classes)}
    return np.array([known.get(v, -1) for v in names], dtype=np.int64), tuple(classes)


_MAX_CLASSES = 500


def _by_number(name: str) -> tuple[float, str]:
    return (float(name), name) if name.isdecimal() else (np.inf, name)
