"""Parquet and Arrow → record batches and named columns; no file is trusted about its own size.

Only what cannot unpack far beyond the body is read: flat Parquet columns, uncompressed or in Snappy
(at most some twenty times), Arrow uncompressed, and of both only types whose values have bytes of
their own. Repeated texts stay dictionaries until they are counted; what all columns would come to
is bounded before any of them becomes Python's objects. PyArrow is loaded with the first such
request; pandas never.
"""

from __future__ import annotations

import math
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops.core.schema import ImageSchema, TableSchema
from mlops.serving import table
from mlops.serving.frame import Frame, known, too_many, values
from mlops.serving.reply import Refused, invalid, malformed
from mlops.serving.rows import Rows, rows
from mlops.serving.unpacked import VALUE_BYTES, check_types, is_text, unpacked_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from mlops.core.schema import Schema

    Chosen = Callable[[list[str]], list[str]]
    """Which of a file's columns are read."""

_MAX_COLUMNS = 20_000
_CODECS = frozenset({"UNCOMPRESSED", "SNAPPY"})
_ENCODINGS = frozenset({"PLAIN", "PLAIN_DICTIONARY", "RLE_DICTIONARY", "RLE", "BIT_PACKED"})
"""Those whose texts do not grow from one to the next."""
_DAMAGE = (OSError, ArithmeticError, ValueError, TypeError, KeyError, struct.error)
_TABLE_BYTES = 64 << 20
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
_HEADER_TYPE, _HEADER, _COMPRESSION, _DATA = 1, 2, 3, 1  # slots in Arrow's Message.fbs


def read(body: bytes, kind: str, schema: Schema, max_rows: int, *, exact: bool) -> Rows:
    """Read a body of one of `KINDS` for a model of this project.

    Args:
        body: the file.
        kind: its media type.
        schema: of the model in service.
        max_rows: of one request.
        exact: whether columns that the model does not know are an error; else they do not count,
            whatever their type.

    Raises:
        Refused: 422 for the content, else as `record_batches`.
    """
    batches = record_batches(body, kind, max_rows, None if exact else schema)
    if isinstance(schema, TableSchema):
        table.check_names(batches[0].schema.names, schema, "columns")
    with _damage():
        frame = _frame(batches)
    plain = isinstance(schema, ImageSchema) and all(
        not isinstance(value, str) for row in frame.rows for value in row
    )
    return rows(values(frame, schema, max_rows, plain=plain, field="columns"), schema)


def record_batches(
    body: bytes, kind: str, max_rows: int, schema: Schema | None = None
) -> list[pa.RecordBatch]:
    """Return what a body of one of `KINDS` holds: at least one row, within all bounds.

    With a schema, only the columns that its model knows, if there are any.

    Raises:
        Refused: 400 for damage, 413 for too much, 415 for a codec, 422 for no rows or columns of
            one name.
    """
    batches: list[pa.RecordBatch] = []
    taken = unpacked = 0

    def chosen(names: list[str]) -> list[str]:
        return names if schema is None else [str(name) for name in known(names, schema)] or names

    with _damage():
        for batch in KINDS[kind](body, max_rows, chosen):
            taken += max(batch.num_rows, 1)  # one without rows takes time, too
            too_many(taken, max_rows)
            unpacked += sum(map(unpacked_bytes, batch.columns))
            if unpacked > _TABLE_BYTES:
                raise _too_large()
            batches.append(batch)
    if not any(batch.num_rows for batch in batches):
        raise invalid("holds no row", field="columns")
    if len(set(batches[0].schema.names)) != len(batches[0].schema.names):
        raise invalid("columns must be distinct names", field="columns")
    return batches


@contextmanager
def _damage() -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, *_DAMAGE):
        what = "numbers, times and texts"
        raise malformed("damaged, or of a type that is not read", remedy=f"send {what}, as "
                        "pandas.DataFrame.to_parquet writes them") from None  # fmt: skip


def _parquet(body: bytes, max_rows: int, chosen: Chosen) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(body)) as file:
        found = file.metadata
        too_many(found.num_rows, max_rows)
        _check_columns(found.num_columns)
        groups = [found.row_group(n) for n in range(found.num_row_groups)]
        parts = [g.column(n) for g in groups for n in range(g.num_columns)]
        if any(part.compression not in _CODECS for part in parts):
            raise _compressed("Parquet compressed with anything but snappy")
        if any(not _ENCODINGS.issuperset(part.encodings) for part in parts):
            raise _compressed("Parquet in delta encodings")
        levels = [found.schema.column(n).max_repetition_level for n in range(found.num_columns)]
        if any(levels):
            raise invalid("Parquet columns must be flat", remedy="send lists as Arrow or JSON")
        cells = found.num_rows * found.num_columns  # one value may stand for all of them
        unpacked = sum(part.total_uncompressed_size for part in parts)
        if max(unpacked, cells * VALUE_BYTES) > _TABLE_BYTES:
            raise _too_large()
        names = _columns(file.schema_arrow, chosen)
    texts = [field.name for field in file.schema_arrow if is_text(field.type)]
    with pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts) as file:
        yield from file.iter_batches(max_rows + 1, columns=names, use_threads=False)


def _arrow(body: bytes, max_rows: int, chosen: Chosen) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    whole = pa.BufferReader(body)
    if body.startswith(b"ARROW1"):  # a file is a stream between a mark and a footer
        whole.seek(8)
    start = whole.tell()
    schema = pa.ipc.read_schema(whole)
    _check_columns(len(schema))
    names = _columns(schema, chosen)
    for message in pa.ipc.MessageReader.open_stream(whole):
        if _is_compressed(message.metadata.to_pybytes()):
            raise _compressed("compressed Arrow")
    whole.seek(start)
    for batch in pa.ipc.open_stream(whole):
        too_many(batch.num_rows, max_rows)
        batch.validate(full=True)
        yield batch.select(names)


KINDS: Mapping[str, Callable[[bytes, int, Chosen], Iterator[pa.RecordBatch]]] = {
    "application/vnd.apache.parquet": _parquet,
    "application/vnd.apache.arrow.stream": _arrow,
    "application/vnd.apache.arrow.file": _arrow,
}
"""Media types, and what reads their batches."""


def _check_columns(count: int) -> None:
    if count > _MAX_COLUMNS:
        raise Refused(413, "too_many_columns", f"{count} columns, at most {_MAX_COLUMNS}")


def _columns(schema: pa.Schema, chosen: Chosen) -> list[str]:
    """Return the chosen columns of those that are no index of pandas; their types are looked at."""
    found = [field for field in schema if not field.name.startswith("__index_level_")]
    names = set(chosen([field.name for field in found]))
    check_types(field.type for field in found if field.name in names)
    return [field.name for field in found if field.name in names]


def _frame(batches: list[pa.RecordBatch]) -> Frame:
    names = batches[0].schema.names
    columns = [
        [value for batch in batches for value in _plain(batch.column(n))] for n in range(len(names))
    ]
    return Frame(names, list(zip(*columns, strict=True)))


def _plain(array: pa.Array) -> list[Any]:
    """Return one column as numbers, texts, lists of numbers, and None; NaN is None too.

    Times become texts in ISO 8601, UTC, so that only a column of times takes them.
    """
    import pyarrow as pa

    kind = array.type
    if pa.types.is_dictionary(kind):
        known = _plain(array.dictionary)
        return [None if at is None else known[at] for at in array.indices.to_pylist()]
    if pa.types.is_floating(kind):
        return [None if v is None or math.isnan(v) else v for v in array.to_pylist()]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = array.cast(pa.timestamp("us"), safe=False).to_pylist()
        return [None if at is None else at.isoformat() for at in micros]
    if pa.types.is_primitive(kind) and not pa.types.is_integer(kind):
        msg = f"columns of {kind}"
        raise TypeError(msg)
    return list(array.to_pylist())


def _is_compressed(message: bytes) -> bool:
    """Say whether an IPC message's buffers are compressed: the one thing PyArrow does not tell.

    Walks the FlatBuffers tables of Message.fbs down to `RecordBatch.compression`.
    """
    root = struct.unpack_from("<I", message)[0]
    kind_at, header_at = _slot(message, root, _HEADER_TYPE), _slot(message, root, _HEADER)
    if not kind_at or not header_at:
        return False
    kind, batch = message[kind_at], _follow(message, header_at)
    if kind == _DICTIONARY_BATCH:
        data_at = _slot(message, batch, _DATA)
        kind, batch = _RECORD_BATCH, _follow(message, data_at)
    return kind == _RECORD_BATCH and _slot(message, batch, _COMPRESSION) != 0


def _slot(message: bytes, table: int, slot: int) -> int:
    """Return where a table's field stands, or 0 if it is not there."""
    vtable = table - struct.unpack_from("<i", message, table)[0]
    size = struct.unpack_from("<H", message, vtable)[0]
    at = 4 + 2 * slot
    offset = struct.unpack_from("<H", message, vtable + at)[0] if at < size else 0
    return table + offset if offset else 0


def _follow(message: bytes, at: int) -> int:
    return int(at + struct.unpack_from("<I", message, at)[0])


def _too_large() -> Refused:
    return Refused(413, "too_large", "unpacks to too much", remedy="split the request")


def _compressed(what: str) -> Refused:
    return Refused(
        415, "compressed", f"{what} is not read", remedy="write it with snappy, or uncompressed"
    )
