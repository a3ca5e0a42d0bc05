from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.adapters import snapshot
from mlops.adapters.files import sha256, write_json
from mlops.adapters.snapshot import Rows, columns
from mlops.core.schema import ImageSchema
from mlops.errors import DataError
from tests.examples import SCHEMA, base_rows, pictures, write_rows_as_shard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_shards_come_back_in_the_order_of_their_names(tmp_path: Path) -> None:
    rows = base_rows(6)
    write_rows_as_shard(tmp_path / "part-00001.parquet", rows[3:])
    write_rows_as_shard(tmp_path / "part-00000.parquet", rows[:3])
    table = snapshot.read_shards(tmp_path, SCHEMA)
    assert table.schema == columns(SCHEMA)
    assert np.array_equal(snapshot.values(table, SCHEMA), pictures(6))


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rows_as_shard(tmp_path / name, base_rows(5))
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


def test_an_empty_folder_is_an_empty_table(tmp_path: Path) -> None:
    assert snapshot.read_shards(tmp_path, SCHEMA).num_rows == 0
    assert snapshot.values(snapshot.read_shards(tmp_path, SCHEMA), SCHEMA).shape == (0, 6, 6, 1)


def _without(table: pa.Table, name: str) -> pa.Table:
    return table.drop_columns([name])


def _retyped(table: pa.Table) -> pa.Table:
    text = pa.array(["seven"] * table.num_rows)
    return table.set_column(table.column_names.index("label"), "label", text)


BROKEN: dict[str, Callable[[pa.Table], pa.Table]] = {
    "missing column": lambda table: _without(table, "label"),
    "extra column": lambda table: table.append_column("x", pa.array([1] * table.num_rows)),
    "retyped column": _retyped,
    "null id": lambda table: table.set_column(
        0, "example_id", pa.array([None] * table.num_rows, pa.string())
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_shard_of_another_schema_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "part-00000.parquet"
    pq.write_table(BROKEN[kind](pa.Table.from_pylist(base_rows(2), schema=columns(SCHEMA))), path)
    with pytest.raises(DataError, match=r"part-00000\.parquet: not a shard of this project"):
        snapshot.read_shards(tmp_path, SCHEMA)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PAR1" + bytes(40) + b"PAR1"])
def test_garbage_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet: not a shard") as caught:
        snapshot.read_shards(tmp_path, SCHEMA)
    assert "\n" not in str(caught.value)


def test_a_truncated_or_flipped_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_rows_as_shard(path, base_rows(50))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(DataError, match=r"x\.parquet"):
        snapshot.read_shards(tmp_path, SCHEMA)


def test_a_shard_that_claims_too_many_rows_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows_as_shard(tmp_path / "x.parquet", base_rows(5))
    monkeypatch.setattr(snapshot, "MAX_ROWS", 4)
    with pytest.raises(DataError, match="more than 4 rows"):
        snapshot.read_shards(tmp_path, SCHEMA)


def test_an_image_of_the_wrong_size_names_its_example(tmp_path: Path) -> None:
    rows = base_rows(2)
    rows[1]["image"] = b"short"
    table = pa.Table.from_pylist(rows, schema=columns(SCHEMA))
    with pytest.raises(DataError, match=f"example {rows[1]['example_id']}: 5 bytes, expected 36"):
        snapshot.values(table, SCHEMA)


def test_a_schema_comes_back(tmp_path: Path) -> None:
    schema = ImageSchema(("cat", "dog"), 4, 5, 3)
    snapshot.write_schema(tmp_path, schema)
    assert snapshot.read_schema(tmp_path) == schema


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"classes": ["a"]}, "height.*; run: mlops ingest"),
        (
            {"classes": "ab", "height": 1, "width": 1, "channels": 1},
            "classes = .ab.: expected tuple",
        ),
        ({"classes": ["a"], "height": 0, "width": 1, "channels": 1}, "above 0"),
        (
            {"classes": ["a"], "height": "8", "width": 1, "channels": 1},
            "height = .8.: expected int",
        ),
    ],
)
def test_a_wrong_schema_is_named(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    write_json(tmp_path / "schema.json", content)
    with pytest.raises(DataError, match=f"schema.json: .*{said}"):
        snapshot.read_schema(tmp_path)


def _rows(count: int) -> Rows:
    return Rows(
        features=pictures(count),
        label=np.arange(count) - 1,
        example_id=np.array([f"{n:032x}" for n in range(count)]),
        key=np.arange(count, dtype=np.uint64) + np.uint64(2**63),
        observed_s=np.full(count, np.nan),
        production=np.arange(count) % 2 == 0,
        label_source=np.array(["", "random", "source", "user"][:count]),
    )


def test_rows_come_back_and_can_be_taken_from(tmp_path: Path) -> None:
    rows = _rows(4)
    snapshot.write_rows(tmp_path / "train.npz", rows)
    back = snapshot.read_rows(tmp_path / "train.npz")
    assert all(
        np.array_equal(value, getattr(back, name), equal_nan=name == "observed_s")
        for name, value in vars(rows).items()
    )
    assert len(back.take(back.label >= 0)) == 3
    assert back.take(np.array([3, 1])).label.tolist() == [2, 0]


@pytest.mark.parametrize("damage", ["missing", "garbage", "truncated", "a column less"])
def test_damaged_rows_name_the_file_and_the_command(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "train.npz"
    if damage == "garbage":
        path.write_bytes(b"garbage")
    if damage == "truncated":
        snapshot.write_rows(path, _rows(4))
        path.write_bytes(path.read_bytes()[:300])
    if damage == "a column less":
        np.savez(path, label=np.zeros(2))
    with pytest.raises(DataError, match=r"train.npz: unreadable .* run: mlops prepare"):
        snapshot.read_rows(path)
