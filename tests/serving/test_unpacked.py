"""Arrow and Parquet of a few bytes that stand for many values: refused before they are unpacked."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.core.schema import ImageSchema
from mlops.serving import columnar
from mlops.serving.reply import Refused
from tests.serving.kinds import RECORDS, TABLE, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = ImageSchema(("a", "b"), 4, 4, 1)
STREAM, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
MANY = 2_000_000
LONG = "a" * (1 << 20)
ROWS = 1024


def _stream(*columns: pa.Array, batches: int = 1) -> tuple[bytes, str]:
    batch = pa.RecordBatch.from_arrays(list(columns), [f"c{n}" for n in range(len(columns))])
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        for _ in range(batches):
            writer.write_batch(batch)
    return out.getvalue(), STREAM


def _parquet(**columns: Any) -> tuple[bytes, str]:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue(), PARQUET


def _list(values: pa.Array) -> pa.Array:
    """Return one list of all values."""
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def _known(values: pa.Array, rows: int = 300) -> pa.Array:
    """Return a dictionary whose first value stands in every row."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), values)


def _truths(count: int) -> pa.Array:
    return pa.Array.from_buffers(pa.bool_(), count, [None, pa.py_buffer(bytes(count // 8))])


def _empty_lists() -> pa.Array:
    kind = pa.list_(pa.int8(), 0)
    return pa.Array.from_buffers(kind, MANY, [None], children=[pa.array([], pa.int8())])


BOMBS: dict[str, tuple[Callable[[], tuple[bytes, str]], Any, int]] = {
    "a list of null": (lambda: _stream(_list(pa.nulls(MANY))), IMAGE, 400),
    "a list of null, for a table": (lambda: _stream(_list(pa.nulls(MANY))), TABLE, 400),
    "a list of null, of one length": (
        lambda: _stream(pa.FixedSizeListArray.from_arrays(pa.nulls(MANY), MANY)), IMAGE, 400),
    "lists in a list": (lambda: _stream(_list(_list(pa.nulls(MANY)))), IMAGE, 400),
    "lists of nothing in a list": (lambda: _stream(_list(_empty_lists())), IMAGE, 400),
    "a list of truth values": (lambda: _stream(_list(_truths(5 * MANY))), IMAGE, 413),
    "a dictionary of null": (lambda: _stream(_known(pa.nulls(MANY))), TEXT, 400),
    "a dictionary of lists": (
        lambda: _stream(_known(_list(pa.array(np.zeros(100_000, np.uint8))))), IMAGE, 400),
    "a dictionary in a list": (lambda: _stream(_list(_known(pa.array([LONG])))), IMAGE, 400),
    "a dictionary for every row": (
        lambda: _stream(_known(pa.array([*map(str, range(100_000))]), 1), batches=100), TEXT, 413),
    "batches without rows": (
        lambda: _stream(_known(pa.array(["a"]), 0), batches=ROWS + 1), TEXT, 413),
    "a text in every row": (lambda: _stream(_known(pa.array([LONG]))), TEXT, 413),
    "a text in every row of Parquet": (lambda: _parquet(a=[LONG] * 300), TEXT, 413),
    "a large text in every row of Parquet": (
        lambda: _parquet(a=pa.array([LONG] * 300, pa.large_string())), TEXT, 413),
    "bytes in every row of Parquet": (lambda: _parquet(a=[LONG.encode()] * 300), TEXT, 400),
    "columns of null": (lambda: _stream(*[pa.nulls(ROWS)] * 9000), TABLE, 413),
    "columns of one value in Parquet": (
        lambda: _parquet(**{f"c{n}": np.zeros(ROWS) for n in range(9000)}), TABLE, 413),
    "columns that no table has": (
        lambda: _parquet(**{f"c{n}": np.zeros(ROWS) for n in range(900)}), TABLE, 422),
}  # fmt: skip


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("make", "schema", "status"), BOMBS.values(), ids=BOMBS)
def test_what_unpacks_to_too_much_is_never_unpacked(
    make: Any, schema: Any, status: int, exact: bool
) -> None:
    body, kind = make()
    tracemalloc.start()
    with pytest.raises(Refused) as refused:
        columnar.read(body, kind, schema, ROWS, exact=exact)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status == status
    assert peak_bytes < (12 << 20)  # of Parquet with many columns, their descriptions
    assert len(body) <= (2 << 20) or kind == PARQUET


def test_a_body_full_of_pixels_is_not_too_much() -> None:
    shape = ImageSchema(("a", "b"), 80, 100, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (ROWS, shape.size_bytes), np.uint8)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), shape.size_bytes)
    body, kind = _stream(lists)
    assert len(body) > 0.97 * (8 << 20)
    found = columnar.read(body, kind, shape, ROWS, exact=True).array
    assert np.array_equal(found.reshape(ROWS, -1), pixels)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_a_text_that_stands_in_many_rows_is_read(kind: pa.DataType) -> None:
    column = [row["city"] for row in RECORDS] * 300
    numbers = pa.array(np.ones(len(column)))
    cities = pa.array(column, kind)
    body, of = _parquet(**{"age": numbers, "city": cities, "size of shoe": numbers})
    assert columnar.read(body, of, TABLE, ROWS, exact=True).values[1].tolist() == column
