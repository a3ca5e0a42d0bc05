from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.adapters import snapshot
from mlops.adapters.files import digest_path, read_json
from mlops.adapters.sources.base import Examples
from mlops.core.example import reserved
from mlops.core.schema import ImageSchema
from mlops.errors import DataError
from mlops.params.data import DataSection
from mlops.steps.ingest import IngestParams, ingest
from tests.examples import SCHEMA, pictures, production_rows, row, write_rows_as_shard

if TYPE_CHECKING:
    from mlops.site import Site


def _params(**changes: Any) -> IngestParams:
    return IngestParams(data=DataSection(source="digits", **changes))


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put a source of ten small images in the place of `digits`; a test may change its fields."""
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "values": pictures(10),
        "labels": np.arange(10) % 3,
        "entities": tuple(f"e{n}" for n in range(10)),
        "observed_s": np.full(10, np.nan),
    }
    module = ModuleType("mlops.adapters.sources.digits")
    module.load = lambda *_: Examples(**fields)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return fields


def _rows(site: Site) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = snapshot.read_shards(
        site.layout.snapshot, snapshot.read_schema(site.layout.snapshot)
    ).to_pylist()
    return rows


def test_the_digits_become_a_snapshot_without_their_reserve(site: Site) -> None:
    report = ingest(_params(reserve=0.35), site)
    rows = _rows(site)
    kept = {str(one["entity"]) for one in rows}
    assert len(rows) == report.facts["rows"] == 1797 - int(str(report.facts["reserved"]))
    assert not any(reserved(entity, share=0.35) for entity in kept)
    assert {one["origin"] for one in rows} == {"base"}
    assert {one["label_source"] for one in rows} == {"source"}
    schema = ImageSchema(tuple("0123456789"), 8, 8, 1)
    assert snapshot.read_schema(site.layout.snapshot) == schema
    before = digest_path(site.layout.snapshot)
    ingest(_params(reserve=0.35), site)
    assert digest_path(site.layout.snapshot) == before


def test_times_and_missing_labels_are_kept(site: Site, source: dict[str, Any]) -> None:
    source["observed_s"] = np.where(np.arange(10) < 5, 1.7e9 + 0.25, np.nan)
    source["labels"] = np.where(np.arange(10) == 9, -1, 1)
    ingest(_params(), site)
    rows = _rows(site)
    assert rows[0]["observed_at"].timestamp() == 1.7e9 + 0.25
    assert rows[9]["observed_at"] is None
    assert (rows[9]["label"], rows[9]["label_source"]) == (None, None)


def test_the_newest_label_wins_and_each_example_stands_once(
    site: Site, source: dict[str, Any]
) -> None:
    base_again = row(pictures(10)[4], label=2, label_source="user", origin="production")
    first = [*production_rows(3, label=0), base_again]
    later = production_rows(3, label=1)[:1]
    write_rows_as_shard(site.layout.production / "a.parquet", first)
    write_rows_as_shard(site.layout.production / "b.parquet", later)
    report = ingest(_params(), site)
    rows = {one["example_id"]: one for one in _rows(site)}
    assert (report.facts["rows"], report.facts["production"]) == (13, 3)
    assert report.facts["duplicates"] == 2
    corrected = rows[base_again["example_id"]]
    assert (corrected["label"], corrected["label_source"]) == (2, "user")
    assert (corrected["origin"], corrected["entity"]) == ("base", "e4")
    assert [rows[one["example_id"]]["label"] for one in first[:3]] == [1, 0, 0]


def test_an_image_that_comes_again_keeps_its_side_and_its_time(
    site: Site, source: dict[str, Any]
) -> None:
    [first] = production_rows(1, label=0, entity="one")
    at = first["observed_at"] + timedelta(days=3)
    again = {**first, "label": 2, "label_source": "user", "entity": "two", "observed_at": at}
    write_rows_as_shard(site.layout.production / "a.parquet", [first])
    write_rows_as_shard(site.layout.production / "b.parquet", [again])
    ingest(_params(), site)
    kept = _rows(site)[-1]
    assert (kept["entity"], kept["observed_at"]) == ("one", first["observed_at"])
    assert (kept["label"], kept["label_source"]) == (2, "user")


def test_a_later_label_mends_one_that_no_class_has(site: Site, source: dict[str, Any]) -> None:
    write_rows_as_shard(site.layout.production / "a.parquet", production_rows(1, label=3))
    with pytest.raises(DataError, match=r"has the label 3; .* by POST /feedback"):
        ingest(_params(), site)
    write_rows_as_shard(site.layout.production / "b.parquet", production_rows(1, label=1))
    ingest(_params(), site)
    assert _rows(site)[-1]["label"] == 1


def test_a_row_that_came_without_a_label_forgets_none(site: Site, source: dict[str, Any]) -> None:
    write_rows_as_shard(site.layout.production / "a.parquet", production_rows(1, label=2))
    unlabelled = production_rows(1, label=None, label_source=None)
    write_rows_as_shard(site.layout.production / "b.parquet", unlabelled)
    ingest(_params(), site)
    assert _rows(site)[-1]["label"] == 2


def test_base_examples_with_two_labels_are_recorded(site: Site, source: dict[str, Any]) -> None:
    source["values"] = np.concatenate([pictures(9), pictures(1)])
    source["labels"] = np.array([0] * 9 + [1])
    report = ingest(_params(), site)
    assert report.facts["conflicts"] == 1
    facts = read_json(site.layout.snapshot / "ingest.json")
    assert facts["conflicting"] == [_rows(site)[0]["example_id"]]
    assert _rows(site)[0]["label"] == 0


def test_many_rows_become_many_shards(
    site: Site, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "SHARD_ROWS", 4)
    ingest(_params(), site)
    shards = sorted(path.name for path in site.layout.snapshot.glob("*.parquet"))
    assert shards == [f"part-0000{n}.parquet" for n in range(3)]
    assert [one["entity"] for one in _rows(site)] == list(source["entities"])


def test_a_reserve_that_leaves_nothing_is_named(site: Site, source: dict[str, Any]) -> None:
    source["entities"] = ("one",) * 10
    with pytest.raises(DataError, match=r"data.reserve = 0.999 leaves none of 10 rows; lower it"):
        ingest(_params(reserve=0.999), site)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": 3}, "has the label 3; labels are 0 to 2"),
        ({"label": -1}, "has the label -1; labels are 0 to 2"),
        ({"image": bytes(36)}, "is damaged: its bytes hash to"),
        ({"image": bytes(35)}, "35 bytes, expected 36 .* belong to another source"),
    ],
)
def test_a_wrong_production_row_is_named_and_nothing_is_written(
    site: Site, source: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    rows = production_rows(2)
    rows[1].update(changes)
    write_rows_as_shard(site.layout.production / "a.parquet", rows)
    with pytest.raises(DataError, match=said) as caught:
        ingest(_params(), site)
    assert str(site.layout.production) in str(caught.value)
    assert rows[1]["example_id"] in str(caught.value)
    assert not site.layout.snapshot.exists()
