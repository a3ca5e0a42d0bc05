"""Columns of CSV and Parquet files, for the sources `table` and `text`: read in bounds.

A cell of a CSV file is text or missing until a source says what its column is.
"""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from mlops.errors import CheckFailed, DataError, ParamsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.params.data import DataSection

MAX_BYTES = 2 * 1024**3
"""Most bytes of one file once it is unpacked: memory is bounded by this, not by the file."""
MAX_CELLS = 500_000_000
_BLOCK_BYTES = 16 * 1024**2  # a row must fit into one; more at a time costs memory only
_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet")


def read_table(section: DataSection, root: Path) -> pa.Table:
    """Return every row of the file or the folder's files that `data.path` names, in name order.

    Raises:
        ParamsError: if `data.path` is not set.
        CheckFailed: naming the file that holds no rows.
        DataError: naming the file that is missing, damaged, too large or unlike the others.
    """
    paths = _paths(section, root)
    tables = [_read(one, section) for one in paths]
    _need_single_names(tables[0], paths[0])
    for one, found in zip(paths, tables, strict=True):
        if found.schema != tables[0].schema:
            odd = set(found.schema).symmetric_difference(tables[0].schema)
            names = ", ".join(sorted({field.name for field in odd}))
            raise DataError(f"{one}: columns differ from {paths[0].name}'s ({names or 'order'})")
    return pa.concat_tables(tables)


def read_head(section: DataSection, root: Path) -> pa.Table:
    """Return the columns of the first file that `data.path` names, without a row.

    Raises:
        ParamsError: if `data.path` is not set.
        DataError: naming the file that is missing or damaged.
    """
    path = _paths(section, root)[0]
    if section.columns and not path.name.endswith(".parquet"):
        names = list(section.columns)
    else:
        names = _read(path, section, head=True).column_names
    return pa.table([pa.array([], pa.string())] * len(names), names=names)


def _paths(section: DataSection, root: Path) -> list[Path]:
    if section.path is None:
        msg = f'params.yaml: data.source = "{section.source}" reads files; name them in data.path'
        raise ParamsError(msg)
    path = root / section.path
    if not path.is_dir():
        return [path]
    paths = sorted(p for p in path.iterdir() if p.name.endswith(_SUFFIXES))
    if not paths:
        raise DataError(f"{path}: holds no file called {' or '.join(_SUFFIXES)}")
    return paths


def _need_single_names(table: pa.Table, path: Path) -> None:
    names = table.column_names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = f"{path}: the column {twice!r} stands twice; rename one, here or in data.columns"
        raise DataError(msg)


def _read(path: Path, section: DataSection, *, head: bool = False) -> pa.Table:
    try:
        if path.name.endswith(".parquet"):
            return pq.read_schema(path).empty_table() if head else _parquet(path)
        return _csv(path, section, head=head)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; see params.yaml: data.path") from None
    except (pa.ArrowException, OSError, EOFError, zlib.error, ValueError) as error:
        if "Empty CSV" in str(error):
            msg = f"{path}: holds no rows; see params.yaml: data.path"
            raise CheckFailed(msg) from None
        raise DataError(f"{path}: cannot be read ({_fault(error)}") from None


def _fault(error: Exception) -> str:
    """Say what is wrong with a file and, where that is known, what to do."""
    what = str(error).splitlines()[0][:200]
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in what:
        return "it is no UTF-8); save it as UTF-8"
    if "straddling object" in what:
        return f"a row is longer than {_BLOCK_BYTES} bytes); shorten its cells"
    # A control character in a cell would do as it likes with a terminal.
    return f"{''.join(c if c.isprintable() else '?' for c in what)}); repair the file"


def _parquet(path: Path) -> pa.Table:
    known = pq.read_metadata(path)
    if known.num_rows * known.num_columns > MAX_CELLS:
        msg = f"{path}: claims {known.num_rows} × {known.num_columns} cells, above {MAX_CELLS}"
        raise DataError(msg)
    return pq.read_table(path).replace_schema_metadata()


def _csv(path: Path, section: DataSection, *, head: bool) -> pa.Table:
    with path.open("rb") as raw:
        stream: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        content = stream.readline(_BLOCK_BYTES) if head else b""
        if not head or (section.quoted and content.count(b'"') % 2):  # a name with a line end
            content += stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: more than {MAX_BYTES} bytes once unpacked; split the file")
    if content.startswith((b"PK\3\4", b"\xff\xfe", b"\xfe\xff")):
        what = "a zip file or a workbook" if content.startswith(b"PK") else "UTF-16"
        raise DataError(f"{path}: is {what}; save it as CSV in UTF-8, or as Parquet")
    tabs = path.name.removesuffix(".gz").endswith(".tsv")
    separator = section.separator or ("\t" if tabs else ",")
    reading = pa.csv.ReadOptions(
        column_names=list(section.columns) or None, block_size=_BLOCK_BYTES
    )
    parsing = pa.csv.ParseOptions(
        delimiter=separator, quote_char='"' if section.quoted else False,
        newlines_in_values=section.quoted,
    )  # fmt: skip
    names = pa.csv.open_csv(pa.BufferReader(content), reading, parsing).schema.names
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    table = pa.csv.read_csv(pa.BufferReader(content), reading, parsing, as_text)
    _need_closed_quotes(path, content, table)
    trimmed = [_trimmed(column, section.missing) for column in table.columns]
    return pa.table(trimmed, names=[name.strip() for name in table.column_names])


def _need_closed_quotes(path: Path, content: bytes, table: pa.Table) -> None:
    """Refuse a quotation mark that opens a cell which then swallows the rest of the file."""
    last = table.column(table.num_columns - 1)[-1].as_py() if table.num_rows else None
    if "\n" in (last or "") and not content[-16:].rstrip().endswith(b'"'):
        begin = "".join(c if c.isprintable() else " " for c in str(last)[:40])
        raise DataError(
            f"{path}: a quotation mark before {begin!r} is never closed; write data.quoted: false "
            "if such marks enclose nothing, or repair the file"
        )


def _trimmed(column: pa.ChunkedArray, missing: Sequence[str]) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(column)
    gone = pc.is_in(text, value_set=pa.array(missing, pa.string()))
    return pc.if_else(gone, None, text)
