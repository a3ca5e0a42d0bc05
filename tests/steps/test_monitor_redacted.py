"""Monitoring of a table of which nobody may read some columns: no false alarm, and still sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import sqlalchemy as sa

from mlops.adapters import lost_slices, measured, registry, windows
from mlops.adapters.embedding import write_embedding
from mlops.adapters.files import write_json
from mlops.adapters.incident_page import page_path
from mlops.adapters.incident_story import tell
from mlops.adapters.predictions import insert_batch
from mlops.adapters.reports import make_named
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import predictions
from mlops.adapters.thresholds import write_thresholds
from mlops.cli.incidents import lines
from mlops.core.features import arrays
from mlops.core.prediction import Label
from mlops.core.schema import to_plain
from mlops.params.load import load
from mlops.serving.cut import Answered, Cutter
from mlops.serving.redaction import Redaction
from mlops.steps.monitor import MonitorParams
from tests.serving.kinds import TABLE, TinyModel
from tests.steps.test_monitor_step import WINDOW, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.windows import Window
    from mlops.site import Site

Table = tuple["NDArray[np.float64]", "NDArray[np.object_]", "NDArray[np.float64]"]
MODEL = TinyModel(TABLE)


def draw(rng: np.random.Generator, rows: int) -> Table:
    """Draw people: whoever is older has larger shoes."""
    age = rng.normal(40.0, 10.0, rows)
    city = rng.choice(np.array(["Bern", "Genf"], dtype=object), rows)
    return age, city, 30.0 + age / 4 + rng.normal(0.0, 2.0, rows)


def publish(world: World, version: str) -> Path:
    """Write a version's folder as `register` leaves it, with the embedding of its model."""
    folder = world.site.layout.serving / "digits" / version
    folder.mkdir(parents=True)
    rows = arrays(draw(world.rng, 600), TABLE)
    p = MODEL.predict(rows)
    np.savez(folder / "reference.npz", features=rows, probabilities=p, label=p.argmax(axis=1))
    write_json(folder / "model.json", {"schema": to_plain(TABLE)})
    onnx.save(MODEL.proto, folder / "model.onnx")
    assert write_embedding(folder, arrays(draw(world.rng, 200), TABLE)) > 1
    write_thresholds(folder, world.params.monitoring)
    return folder


def serve(
    world: World, count: int, *redacted: str, some: Sequence[str] | None = None, larger: float = 0.0
) -> None:
    """Serve windows as the server logs them.

    Args:
        world: whose version 1 answers.
        count: of windows.
        redacted: columns, in every row.
        some: columns in every second row instead; None for the same ones.
        larger: by how much everybody's shoes are.
    """
    for number in range(count * 2):
        age, city, shoe = draw(world.rng, WINDOW // 2)
        values: Table = (age, city, shoe + larger)
        names = redacted if some is None or number % 2 else some
        world.clock_s += WINDOW
        ids = [f"p{world.clock_s:.0f}-{n}" for n in range(WINDOW // 2)]
        answers = MODEL.predict(arrays(values, TABLE))
        cutter = Cutter(keep=True, redaction=Redaction((), b"k", names), sample=1.0)
        block = cutter.cut([Answered(ids, world.clock_s, "1", None, values, TABLE, answers, 0.01)])
        assert block is not None
        insert_batch(world.engine, "digits", block.rows())


@pytest.fixture
def world(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    params = load(site.layout.params, MonitorParams)
    told = {"window_rows": WINDOW, "min_rows": 40, "replicates": 200, "baseline": "2",
            "false_alarms": "1 per 200 windows"}  # fmt: skip
    params = params.model_copy(update={"monitoring": params.monitoring.model_copy(update=told)})
    monkeypatch.setattr(registry, "fetch", lambda s, p, v: s.layout.serving / p / v)
    engine = open_database(site.settings.database(site.layout))
    made = World(site, engine, np.random.default_rng(3), site.now.timestamp(), params)
    for version in ("1", "2"):
        publish(made, version)
    yield made
    engine.dispose()


def judged(world: World) -> tuple[Window, ...]:
    with world.engine.connect() as connection:
        return windows.latest(connection, "digits", 99)


@pytest.mark.parametrize(
    ("redacted", "some", "gone"),
    [
        (("age",), None, ("age",)),
        (("age", "city"), None, ("age", "city")),
        (("age", "city", "size of shoe"), None, ("age", "city", "size of shoe")),
        (("age",), (), ("age",)),
        (("age",), ("city",), ("age", "city")),
    ],
)
def test_what_is_redacted_is_neither_broken_nor_drift(
    world: World, redacted: tuple[str, ...], some: tuple[str, ...] | None, gone: tuple[str, ...]
) -> None:
    serve(world, 8, *redacted, some=some)
    report = world.run()
    found = judged(world)
    assert len(found) == 8
    assert [w.verdict.breaks for w in found] == [()] * 8
    assert sum(w.verdict.alarm for w in found) <= 1  # by chance; an incident needs more
    assert report.events == ()
    assert world.mails() == []
    assert {w.redacted for w in found} == {gone}
    words = f"Not watched: {', '.join(gone)} (redacted)"
    assert f"- {words}\n" in report.markdown
    seen = {column.column for column in found[0].verdict.columns}
    named = [name for name in seen if name.removesuffix(" given the rest") in gone]
    assert named == []
    assert {"confidence", "missing", "predicted"} <= seen
    assert any(name.startswith("embedding") for name in seen)
    assert found[0].fixed is not None
    assert found[0].fixed.of == len(TABLE.columns) + 1 - len(gone)


def test_what_is_left_is_watched_as_closely_as_before(world: World) -> None:
    serve(world, 2)
    serve(world, 2, "age")
    serve(world, 3, "age", larger=4.0)
    report = world.run()
    assert [event.name for event in report.events] == ["drift.detected"]
    found = judged(world)
    assert [w.redacted for w in found] == [()] * 2 + [("age",)] * 5
    assert [bool(w.verdict.drifted) for w in found] == [False] * 4 + [True] * 3
    assert "size of shoe" in {c.column for c in found[-1].verdict.drifted}
    assert "age" in {c.column for c in found[0].verdict.columns}
    held = world.incident()
    words = "Not watched: age (redacted)"
    assert f"{words}." in world.mail()
    assert f"{words}." in page_path(world.site, held.id).read_text()
    assert f"unseen    {words}" in [*lines(tell(world.engine, "digits", held.id))]
    kept = list((world.site.layout.work / "thresholds").glob("*.json"))
    assert len(kept) == 2  # both versions', without age; with it they lie with the version


def test_no_part_of_the_rows_is_told_by_what_is_redacted(world: World) -> None:
    """Half of the rows lack the age: neither side is asked by it, nor by how much is missing."""
    serve(world, 4, "age", some=())
    with world.engine.connect() as connection:
        ids = [*connection.scalars(sa.select(predictions.c.id))]
    given = [Label(name, n % 2, "random", world.clock_s) for n, name in enumerate(ids)]
    insert_batch(world.engine, "digits", (), given)
    expected = measured.expect(world.params.labels, world.clock_s + 1e6)
    folder = world.site.layout.serving / "digits" / "1"
    with world.engine.connect() as connection:
        told = measured.outcomes(connection, "digits", "1", (0, 2**62), expected=expected)
        assert {row.redacted for row in told} == {(), ("age",)}
        found = lost_slices.compare(connection, folder, told, 0.05)
        schema, before = lost_slices._reference(folder, ("age",))
        now = lost_slices._current(connection, told, schema, ("age",))
    assert "age" not in {part.name for part in found}
    assert len(now.looks) == 4 * WINDOW
    for looks in (before.looks, now.looks):
        assert np.isnan(looks[:, 0]).all()
        assert set(looks[:, -1]) == {1 / len(TABLE.columns)}


def test_the_page_shows_the_same_numbers(world: World) -> None:
    serve(world, 1, "age", "city")
    world.run()
    make_named(world.site, world.engine, "digits", "digits-1-1")
    page = (world.site.layout.windows / "digits-1-1" / "report.html").read_text()
    assert "Not watched: age, city (redacted)." in page.partition("</section>")[0]
    assert "Two baselines" in page
