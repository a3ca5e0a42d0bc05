"""Rows of files without a model: what a cell means."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.batch.tables import Csv, Parquet
from mlops.core.schema import Column, TableSchema
from mlops.errors import DataError

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
    assert bad == {4: "at is no time; write ISO 8601, UTC unless it says so, or seconds since 1970"}


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
