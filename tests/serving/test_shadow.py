"""What a shadow is shown: its own columns of what was sent, or nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import predictions
from mlops.core.features import arrays
from mlops.core.schema import Column, TableSchema
from mlops.serving import metrics
from tests.serving.kinds import PRICE, RECORDS, TABLE, TinyModel, columns, serving

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.serving.conftest import Running

AGE, CITY, SHOE = TABLE.columns
VALUES = dict(zip(("age", "city", "size of shoe"), columns(), strict=True))


def _table(*found: Column, classes: tuple[str, ...] = TABLE.classes) -> TableSchema:
    return TableSchema(classes, found)


def _count(outcome: str) -> float:
    return float(metrics.SHADOW_ROWS.labels(outcome)._value.get())


def _until_seen(before: float, rows: int) -> None:
    end_s = time.monotonic() + 5
    while sum(map(_count, ("agreed", "differed", "failed", "unfit"))) - before < rows:
        assert time.monotonic() < end_s
        time.sleep(0.01)


def _shown(server: Running, model: TinyModel, rows: int = len(RECORDS)) -> list[Any]:
    """Return what the log holds of a shadow that was shown `RECORDS`, and so many rows of them."""
    before = sum(map(_count, ("agreed", "differed", "failed", "unfit")))
    server.app.mirror.show_to(model)  # type: ignore[arg-type]
    assert httpx.post(server.url + "/predict", json={"rows": RECORDS}).is_success
    _until_seen(before, len(RECORDS))
    written, end_s = 0, time.monotonic() + 10
    while written < len(RECORDS) + rows:
        assert time.monotonic() < end_s
        written += server.write_log()
    query = sa.select(predictions).where(predictions.c.shadow_of.is_not(None))
    with open_database(server.config.database_url).connect() as connection:
        return list(connection.execute(query.order_by(predictions.c.seq)).all())


@pytest.mark.parametrize(
    "schema",
    [TABLE, _table(SHOE, CITY, AGE), _table(SHOE), _table(SHOE, AGE),
     _table(AGE, Column("city", "category", ("NA", "Genf")))],
    ids=["the same", "another order", "one column", "two, turned round", "other codes"],
)  # fmt: skip
def test_a_shadow_is_given_its_own_columns(schema: TableSchema, tmp_path: Path) -> None:
    model = TinyModel(schema, "2", 5)
    with serving(tmp_path, TinyModel(TABLE)) as server:
        found = _shown(server, model)
        server.app.mirror.show_to(None)
    mine = tuple(VALUES[column.name] for column in schema.columns)
    said = np.array([np.frombuffer(row.probabilities, "<f4") for row in found])
    np.testing.assert_allclose(said, model.predict(arrays(mine, schema)), atol=1e-6)


@pytest.mark.parametrize(
    "schema",
    [_table(AGE, CITY, SHOE, Column("income", "number")), _table(AGE, Column("income", "number")),
     _table(Column("city", "number")), _table(*TABLE.columns, classes=("yes", "no")),
     _table(*TABLE.columns, classes=()), _table(*TABLE.columns, classes=("no", "yes", "maybe"))],
    ids=["one more", "another name", "another kind", "classes turned round", "no classes",
         "one class more"],
)  # fmt: skip
def test_a_shadow_that_takes_what_nobody_sends_is_shown_nothing(
    schema: TableSchema, tmp_path: Path
) -> None:
    unfit = _count("unfit")
    with serving(tmp_path, TinyModel(TABLE)) as server:
        assert _shown(server, TinyModel(schema, "2", 5), 0) == []
        server.app.mirror.show_to(None)
    assert _count("unfit") - unfit == len(RECORDS)


class Priced(TinyModel):
    """A regression whose median is a column of the row and something more; 10 to either side."""

    def __init__(self, version: str, more: float) -> None:
        super().__init__(PRICE, version)
        self._more = more

    def predict(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        middle = np.nan_to_num(rows[:, :1]) + self._more
        return np.asarray(middle + np.array([-10.0, 0.0, 10.0]), np.float32)


@pytest.mark.parametrize(("more", "outcome"), [(5.0, "agreed"), (5000.0, "differed")])
def test_numbers_agree_where_the_median_is_within_what_is_served(
    more: float, outcome: str, tmp_path: Path
) -> None:
    before = _count(outcome)
    with serving(tmp_path, Priced("1", 0.0)) as server:
        assert len(_shown(server, Priced("2", more))) == len(RECORDS)
        server.app.mirror.show_to(None)
    assert _count(outcome) - before == len(RECORDS)
