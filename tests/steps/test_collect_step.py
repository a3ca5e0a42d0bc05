"""Step `collect`: every labelled prediction in exactly one shard, killed wherever it may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from mlops.adapters import predictions, snapshot
from mlops.adapters.asking import new_labels
from mlops.adapters.pruning import prune
from mlops.adapters.sql.engine import open_database
from mlops.core.example import example_id
from mlops.core.prediction import Label, Prediction
from mlops.core.schema import Column, ImageSchema, TableSchema
from mlops.errors import DataError
from mlops.params.project import ProjectSection
from mlops.serving.redaction import Redaction
from mlops.steps import collect as module
from mlops.steps.collect import CollectParams, collect

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.site import Site

PARAMS = CollectParams(project=ProjectSection(name="digits"))
SHAPE = (4, 4, 1)
SCHEMA = ImageSchema(("a", "b", "c"), *SHAPE)


@pytest.fixture
def engine(site: Site) -> sa.Engine:
    snapshot.write_schema(_made(site), SCHEMA)
    return open_database(site.settings.database(site.layout))


def _made(site: Site) -> Any:
    site.layout.snapshot.mkdir(parents=True, exist_ok=True)
    return site.layout.snapshot


def _log(engine: sa.Engine, *numbers: int, keep: bool = True, size: int = 16) -> None:
    rows = []
    for n in numbers:
        image = np.random.default_rng(n % 100).integers(0, 256, size, dtype=np.uint8).tobytes()
        rows.append(Prediction(
            f"p{n:03}", 1000.0 + n, "1", example_id(image, SHAPE), f"entity{n}" if n % 2 else None,
            image if keep else None, np.full(3, 1 / 3, "<f4").tobytes(), 0.001,
        ))  # fmt: skip
    predictions.insert_batch(engine, "digits", rows)


def _label(engine: sa.Engine, *given: tuple[int, int, float], source: Any = "random") -> None:
    labels = [Label(f"p{n:03}", label, source, at_s) for n, label, at_s in given]
    predictions.insert_batch(engine, "digits", (), labels)


def _shards(site: Site) -> list[str]:
    return sorted(path.name for path in site.layout.production.glob("*.parquet"))


def _rows(site: Site) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = snapshot.read_shards(site.layout.production, SCHEMA).to_pylist()
    return rows


def test_labelled_predictions_become_one_shard(site: Site, engine: sa.Engine) -> None:
    _log(engine, 1, 2, 3)
    _label(engine, (1, 0, 5000.0), (2, 1, 5000.0), (2, 2, 5001.0))
    report = collect(PARAMS, site)
    assert report.facts["rows"] == 2
    assert _shards(site) == [report.facts["shard"]]
    one, two = _rows(site)
    assert (one["label"], two["label"]) == (0, 2)
    assert (one["entity"], two["entity"]) == ("entity1", None)
    assert one["observed_at"].timestamp() == 1001.0
    assert one["example_id"] == example_id(one["image"], SHAPE)
    assert {row["origin"] for row in (one, two)} == {"production"}
    assert {row["label_source"] for row in (one, two)} == {"random"}
    assert len(one["group"]) > 0


def test_a_second_run_writes_nothing(site: Site, engine: sa.Engine) -> None:
    assert "nothing to collect" in collect(PARAMS, site).summary
    assert _shards(site) == []
    _log(engine, 1)
    _label(engine, (1, 0, 5000.0))
    collect(PARAMS, site)
    assert "nothing to collect" in collect(PARAMS, site).summary
    assert len(_shards(site)) == 1


def test_a_newer_label_makes_a_later_shard(site: Site, engine: sa.Engine) -> None:
    _log(engine, 1)
    _label(engine, (1, 0, 5000.0))
    collect(PARAMS, site)
    _label(engine, (1, 2, 6000.0), source="user")
    later = replace(site, now=site.now + timedelta(seconds=1))
    report = collect(PARAMS, later)
    assert _shards(site)[-1] == report.facts["shard"]
    assert [row["label"] for row in _rows(site)] == [0, 2]


def test_equal_images_stand_once_with_the_newest_label(site: Site, engine: sa.Engine) -> None:
    _log(engine, 1, 101)
    _label(engine, (101, 1, 5000.0), (1, 2, 5001.0))
    assert collect(PARAMS, site).facts["rows"] == 1
    assert _rows(site)[0]["label"] == 2
    assert "nothing" in collect(PARAMS, site).summary


def test_hashed_payloads_are_told(site: Site, engine: sa.Engine) -> None:
    _log(engine, 1, 2, keep=False)
    _label(engine, (1, 0, 5000.0), (2, 0, 5000.0))
    report = collect(PARAMS, site)
    assert "MLOPS_PAYLOADS=keep" in report.summary
    assert report.facts["hidden"] == 2
    assert _shards(site) == []


def test_rows_of_another_schema_are_named(site: Site, engine: sa.Engine) -> None:
    _log(engine, 1, size=9)
    _label(engine, (1, 0, 5000.0))
    with pytest.raises(DataError, match=r"p001 .*9 bytes"):
        collect(PARAMS, site)
    assert _shards(site) == []


def test_without_a_snapshot_the_served_version_tells_the_shape(
    site: Site, engine: sa.Engine
) -> None:
    from mlops.adapters import files

    _log(engine, 1)
    _label(engine, (1, 0, 5000.0))
    files.remove(site.layout.snapshot)
    with pytest.raises(DataError, match=r"schema\.json"):
        collect(PARAMS, site)
    home = site.layout.serving / "digits"
    schema = {"classes": ["a", "b", "c"], "height": 4, "width": 4, "channels": 1}
    files.write_json(home / "1" / "model.json", {"schema": schema})
    files.write_json(home / "current.json", {"folder": str(home / "1")})
    assert collect(PARAMS, site).facts["rows"] == 1


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("where", ["before claim", "before write", "after write"])
def test_killed_anywhere_it_ends_with_each_row_once(
    where: str, site: Site, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _log(engine, 1, 2, 3)
    _label(engine, (1, 0, 5000.0), (2, 1, 5000.0))
    owner: Any = predictions if where == "before claim" else module
    name = "claim" if where == "before claim" else "write_shard"
    real = getattr(owner, name)

    def die(*given: Any) -> None:
        if where == "after write":
            real(*given)
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(_Killed):
            collect(PARAMS, site)
    _label(engine, (3, 2, 6000.0))  # more labels come before it runs again
    collect(PARAMS, replace(site, now=site.now + timedelta(hours=1)))
    assert sorted(row["label"] for row in _rows(site)) == [0, 1, 2]
    before = {path: path.read_bytes() for path in site.layout.production.iterdir()}
    collect(PARAMS, site)
    assert {path: path.read_bytes() for path in site.layout.production.iterdir()} == before


def test_a_lost_shard_comes_back_byte_for_byte(site: Site, engine: sa.Engine) -> None:
    _log(engine, 1, 2)
    _label(engine, (1, 0, 5000.0), (2, 1, 5000.0))
    collect(PARAMS, site)
    [path] = site.layout.production.glob("*.parquet")
    content = path.read_bytes()
    path.unlink()
    assert collect(PARAMS, site).facts["mended"] == 1
    assert path.read_bytes() == content


def test_rows_without_some_columns_are_left_out(site: Site, engine: sa.Engine) -> None:
    """They hold a missing value where the model saw one: what they teach is not so."""
    table = TableSchema(("no", "yes"), (Column("identity", "number"), Column("size", "number")))
    snapshot.write_schema(site.layout.snapshot, table)
    rows = [
        Prediction(f"p{n:03}", 1000.0 + n, "1", f"{n:032x}", None, content,
                   np.full(2, 0.5, "<f4").tobytes(), 0.001, redacted=redacted)
        for n, (content, redacted) in enumerate([
            (b"[1.0,2.0]", ()), (b"[null,2.0]", ("identity",)), (b"[null,3.0]", ()),
            (b"[null,4.0]", ("identity",)), (None, ("identity",)),
        ])
    ]  # fmt: skip
    predictions.insert_batch(engine, "digits", rows)
    _label(engine, *((n, n % 2, 5000.0) for n in range(5)), (1, 0, 6000.0))
    # The name of the column holds the word: it is not the field.
    settings = site.settings.model_copy(update={"redact": "identity"})
    report = collect(PARAMS, replace(site, settings=settings))
    assert (report.facts["rows"], report.facts["redacted"], report.facts["hidden"]) == (2, 2, 1)
    assert "2 more are labelled but columns of theirs are redacted (MLOPS_REDACT)" in report.summary
    found = snapshot.read_shards(site.layout.production, table).to_pylist()
    assert [(row["identity"], row["size"]) for row in found] == [(1.0, 2.0), (None, 3.0)]
    again = collect(PARAMS, site)
    assert (again.facts["rows"], again.facts["redacted"]) == (0, 2)
    with engine.connect() as connection:
        fit, unfit = (
            new_labels(connection, "digits", since_seq=0, since_s=0.0, whole=whole)
            for whole in (True, False)
        )
    assert (fit, unfit) == (2, 3)
    assert prune(engine, "digits", before_s=2000.0) == 5  # nothing waits for `collect`


def test_no_hashed_entity_stands_beside_plain_ones(site: Site, engine: sa.Engine) -> None:
    _log(engine, 1, 3)
    _label(engine, (1, 0, 5000.0), (3, 1, 5000.0))
    assert collect(PARAMS, site).facts["rows"] == 2
    plain = snapshot.read_shards(site.layout.production, SCHEMA)
    image = bytes(range(16))
    hashed = Redaction(("entity",), b"k" * 32).entity("entity1")
    row = Prediction(
        "p005", 1005.0, "1", example_id(image, SHAPE), hashed, image,
        np.full(3, 1 / 3, "<f4").tobytes(), 0.001,
    )  # fmt: skip
    predictions.insert_batch(engine, "digits", [row])
    _label(engine, (5, 0, 6000.0))
    snapshot.write_shard(site.layout.snapshot / "part-0.parquet", plain, SCHEMA)
    settings = site.settings.model_copy(update={"redact": "entity"})
    with pytest.raises(DataError, match="take entity out of MLOPS_REDACT"):
        collect(PARAMS, replace(site, settings=settings))
    report = collect(PARAMS, site)
    assert report.facts["rows"] == 0
    assert "1 are left out: their entities are hashed" in report.summary
    bare = plain.set_column(1, "entity", pa.nulls(2, pa.string()))
    snapshot.write_shard(site.layout.snapshot / "part-0.parquet", bare, SCHEMA)
    with pytest.raises(DataError, match="those of the data are plain"):  # of data/production
        collect(PARAMS, replace(site, settings=settings))
    for shard in site.layout.production.glob("*.parquet"):
        snapshot.write_shard(shard, bare, SCHEMA)
    assert collect(PARAMS, replace(site, settings=settings)).facts["rows"] == 1
    plainly = Prediction("p006", 1006.0, "1", "x", "entity2", image, row.probabilities, 0.001)
    predictions.insert_batch(engine, "digits", [plainly])
    _label(engine, (6, 0, 6001.0))
    with pytest.raises(DataError, match=r"have plain entities, .* put entity back"):
        collect(PARAMS, site)
    report = collect(PARAMS, replace(site, settings=settings))
    assert report.facts["rows"] == 0
    assert "1 are left out: their entities are plain, the data's are hashed" in report.summary
