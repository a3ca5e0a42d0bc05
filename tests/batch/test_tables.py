"""Rows of files without a model: what a cell means."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlops.batch.separated import Csv
from mlops.batch.tables import Parquet
from mlops.core.features import arrays
from mlops.core.schema import Column, ImageSchema, TableSchema
from mlops.core.times import WRITTEN
from mlops.errors import DataError
from mlops.serving import separated
from mlops.serving.images import decode
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = TableSchema(("no", "yes"), (Column("at", "number", time=True), Column("age", "number")))
CSV = "at,age\n1970-01-02,1\n1970-01-02T03:04:05.25+02:00,2\n90245.25,3\n,4\n1970-02-30,5\n"


def _times(source: Csv | Parquet) -> tuple[list[float], dict[int, str]]:
    [batch] = source.batches(0, source.count(), 100)
    values: Any = batch.values
    return values[0].tolist(), dict(batch.unreadable)


def test_times_of_a_csv_are_iso_8601_or_seconds_and_a_wrong_one_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    found, bad = _times(Csv(tmp_path / "a.csv", SCHEMA))
    assert np.array_equal(found, [86_400.0, 90_245.25, 90_245.25, np.nan, np.nan], equal_nan=True)
    assert bad == {4: f"at holds a value that is no time; write {WRITTEN}"}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["1970-01-02", None]),
        pa.array([date(1970, 1, 2), None]),
        pa.array([86_400_000_000_000, None], pa.timestamp("ns", "Europe/Zurich")),
        pa.array([86_400, None]),
    ],
    ids=["text", "date", "timestamp", "seconds"],
)
def test_times_of_parquet_are_whatever_arrow_calls_times(column: pa.Array, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"at": column, "age": [1.0, 2.0]}), path)
    found, bad = _times(Parquet(path, SCHEMA))
    assert np.array_equal(found, [86_400.0, np.nan], equal_nan=True)
    assert not bad


def test_truth_is_no_time(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"at": [True], "age": [1.0]}), path)
    with pytest.raises(DataError, match="column at holds bool, the model takes numbers"):
        _times(Parquet(path, SCHEMA))


EVERY = TableSchema(
    ("no", "yes"),
    (
        Column("age", "number"),
        Column("city", "category", ("Bern", "NA", "None", "a,b", 'say "so"')),
        Column("at", "number", time=True),
    ),
)
CELLS = (
    *sorted(separated.MISSING), " NA ", "nan ", "NAN", "Bern", "bern", " Bern", "a,b", 'say "so"',
    "two\nlines", "1", " 1 ", "-0", "1e3", "1_000", "1,5", "0x10", "inf", "-Infinity", "1e39",
    "1e400", "many", "\u0663", "2024-02-29", "2024-02-30", " 2024-01-02T03:04Z ", "20240102",
)  # fmt: skip


def _written(rows: list[list[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["age", "city", "at"], *rows])
    return out.getvalue()


def _served(row: list[str]) -> list[float] | None:
    """Return what the server's model sees of a row; None where it refuses it."""
    try:
        read = separated.read(_written([row]).encode(), EVERY, 1, exact=True)
        found: list[float] = read.array[0].tolist()
    except Refused:
        return None
    return found


@pytest.mark.parametrize("place", range(3), ids=["number", "category", "time"])
def test_a_csv_means_what_it_means_to_the_server(place: int, tmp_path: Path) -> None:
    """The same numbers for the model, and a row is unreadable where the server refuses it."""
    rows = [["1", "Bern", "2"] for _ in CELLS]
    for row, cell in zip(rows, CELLS, strict=True):
        row[place] = cell
    (tmp_path / "a.csv").write_text(_written(rows), newline="")
    source = Csv(tmp_path / "a.csv", EVERY)
    [batch] = source.batches(0, source.count(), 100)
    seen = arrays(batch.values, EVERY).tolist()
    served = [_served(row) for row in rows]
    assert {cell for n, cell in enumerate(CELLS) if n in batch.unreadable} == {
        cell for cell, found in zip(CELLS, served, strict=True) if found is None
    }
    for cell, ours, theirs in zip(CELLS, seen, served, strict=True):
        assert theirs is None or np.array_equal(ours, theirs, equal_nan=True), cell


IMAGE = ImageSchema(("a", "b"), 28, 28, 1)


def _file(kind: str) -> bytes:
    """Return an image file as long as the raw pixels: bytes behind its end are nobody's."""
    out = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(out, kind, quality=50)
    assert len(out.getvalue()) <= IMAGE.size_bytes
    return out.getvalue().ljust(IMAGE.size_bytes, b"\0")


def test_a_picture_as_long_as_its_pixels_is_a_picture(tmp_path: Path) -> None:
    start = b"\xff\xd8\xff\x01"  # pixels that begin as a JPEG does
    files = [_file(kind) for kind in ("PNG", "JPEG", "WEBP")]
    raw = [start.ljust(IMAGE.size_bytes, byte) for byte in (b"\0", b"\xff")]
    pq.write_table(pa.table({"image": files + raw}), tmp_path / "a.parquet")
    [batch] = Parquet(tmp_path / "a.parquet", IMAGE).batches(0, 5, 10)
    expected = [decode(file, IMAGE, 1000) for file in files]
    expected += [np.frombuffer(pixels, np.uint8).reshape(IMAGE.shape) for pixels in raw]
    assert batch.unreadable == {}
    assert np.array_equal(batch.values, expected)
