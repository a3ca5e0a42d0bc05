"""The monitor of a regression: what is estimated before labels come, and scored after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters import incidents, registry, windows
from mlops.adapters.effect import guessed
from mlops.adapters.estimates import errors_scored, scored
from mlops.adapters.files import write_json
from mlops.adapters.incident_page import page_path
from mlops.adapters.incident_story import tell
from mlops.adapters.predictions import insert_batch
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import outbox
from mlops.adapters.thresholds import write_thresholds
from mlops.cli.incidents import lines
from mlops.core.features import canonical, identities, values_of
from mlops.core.prediction import Label, Prediction
from mlops.core.schema import Column, TableSchema, to_plain
from mlops.params.load import load
from mlops.steps.monitor import MonitorParams, monitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.adapters.incidents import Incident
    from mlops.adapters.windows import Window
    from mlops.site import Report, Site

WINDOW = 200
SCHEMA = TableSchema((), (Column("a", "number"), Column("b", "number")))
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def numbers(
    rng: np.random.Generator, rows: int, at: float = 0.0, noise: float = 1.0, *, knows: bool = False
) -> Rows:
    """Return features, quantiles and targets; `a` brings noise.

    Args:
        rng: of all chance.
        rows: how many.
        at: mean of `a`, 0 in the reference.
        noise: that no column shows, times the reference's.
        knows: whether the model knows what `a` brings, and so is right as often everywhere.
    """
    x = np.column_stack([rng.normal(at, 1.0, rows), rng.normal(size=rows)])
    middle, scale = 10 + 2 * x.sum(axis=1), np.exp(0.5 * x[:, 0])
    reach = scale if knows else np.ones(rows)
    quantiles = (middle[:, None] + reach[:, None] * [-1.9, 0.0, 1.9]).astype(np.float32)
    return x, quantiles, middle + noise * scale * rng.normal(size=rows)


@dataclass
class World:
    """A regression with served predictions, its monitor, and a clock."""

    site: Site
    engine: sa.Engine
    rng: np.random.Generator
    clock_s: float
    params: MonitorParams
    knows: bool = False

    def predict(self, count: int, at: float = 0.0, noise: float = 1.0) -> list[Label]:
        """Serve `count` windows; return the labels that will come one day."""
        x, quantiles, target = numbers(self.rng, count * WINDOW, at, noise, knows=self.knows)
        raw = canonical(values_of(x, SCHEMA), SCHEMA)
        made, labels = [], []
        for content, name, row, y in zip(
            raw, identities(raw, SCHEMA), quantiles, target, strict=True
        ):
            self.clock_s += 1.0
            made.append(Prediction(
                f"p{self.clock_s:.0f}", self.clock_s, "1", name, None, content,
                row.astype("<f4").tobytes(), 0.001,
            ))  # fmt: skip
            labels.append(Label(made[-1].id, float(y), "random", self.clock_s))
        insert_batch(self.engine, "digits", made)
        return labels

    def run(self) -> Report:
        """Run the monitor a minute later."""
        self.clock_s += 60.0
        now = self.site.now + timedelta(seconds=self.clock_s - self.site.now.timestamp())
        return monitor(self.params, replace(self.site, now=now))

    def mail(self) -> str:
        """Return the newest mail as HTML."""
        with self.engine.connect() as connection:
            query = sa.select(outbox.c.message).order_by(outbox.c.seq.desc())
            raw = connection.scalar(query.limit(1))
        body = message_from_bytes(raw or b"", policy=SMTP).get_body(("html",))
        return str(body.get_content()) if body else ""

    def windows(self) -> tuple[Window, ...]:
        with self.engine.connect() as connection:
            return windows.latest(connection, "digits", 99)

    def incident(self) -> Incident:
        with self.engine.connect() as connection:
            return incidents.recent(connection, "digits")[0]


def publish(world: World, labelled: int) -> None:
    """Write version 1 as `register` leaves it, with labels of so many reference rows."""
    folder = world.site.layout.serving / "digits" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    x, quantiles, target = numbers(world.rng, 2000, knows=world.knows)
    target[labelled:] = np.nan
    np.savez(folder / "reference.npz", features=x, probabilities=quantiles, label=target)
    write_json(folder / "model.json", {"schema": to_plain(SCHEMA)})
    write_thresholds(folder, world.params.monitoring)


@pytest.fixture
def world(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    params = load(site.layout.params, MonitorParams)
    monitoring = params.monitoring.model_copy(update={
        "window_rows": WINDOW, "min_rows": 100, "replicates": 200, "accuracy_margin": 0.05,
        "false_alarms": "1 per 200 windows",
    })  # fmt: skip
    params = params.model_copy(update={"monitoring": monitoring})

    def fetch(site: Site, project: str, version: str) -> Path:
        return site.layout.serving / project / version

    monkeypatch.setattr(registry, "fetch", fetch)
    engine = open_database(site.settings.database(site.layout))
    made = World(site, engine, np.random.default_rng(5), site.now.timestamp(), params)
    publish(made, 2000)
    yield made
    engine.dispose()


def test_clean_windows_are_estimated_and_scored_when_labels_come(world: World) -> None:
    labels = world.predict(6)
    report = world.run()
    told = [w.estimate for w in world.windows()]
    assert all(e is not None and e.low < 0.9 < e.high and e.high - e.low < 0.15 for e in told)
    off = [w.error_estimate for w in world.windows()]
    assert all(e is not None and e.high and e.low < 0.9 < e.high < 1.4 * e.low for e in off)
    assert scored(world.windows()) is None
    assert errors_scored(world.windows()) is None
    assert "| alarm | mean absolute error | coverage | labels |" in report.markdown
    assert report.markdown.count("| est. ") == 2 * 5
    assert report.events == ()
    insert_batch(world.engine, "digits", (), labels)
    world.run()
    seen = world.windows()
    assert [w.estimate for w in seen] == told  # an estimate is what it was before labels came
    assert [w.labelled for w in seen] == [WINDOW] * 6
    found = scored(seen)
    assert found is not None
    assert (found.windows, found.covered) == (6, 1.0)
    assert found.error < 0.03
    assert [w.error_estimate for w in seen] == off
    assert all(w.error is not None and 0.7 < w.error < 1.1 for w in seen)
    found = errors_scored(seen)
    assert found is not None
    assert (found.windows, found.covered) == (6, 1.0)
    assert found.error < 0.1


@pytest.mark.parametrize("wild", [1e6, 1.7e308])
def test_a_corrected_label_changes_the_error_though_as_many_answers_are_right(
    world: World, wild: float
) -> None:
    labels = world.predict(1)
    insert_batch(world.engine, "digits", (), labels)
    found: list[Window] = []
    for told in (wild / 2, wild):
        again = [replace(label, label=told, at_s=world.clock_s) for label in labels[:2]]
        insert_batch(world.engine, "digits", (), again)
        world.run()
        found.extend(world.windows())
    assert found[0].correct == found[1].correct
    assert [w.error for w in found] == pytest.approx([wild / WINDOW, wild / (WINDOW / 2)], rel=1e-3)


def test_labels_later_than_fifty_windows_are_filled_in(world: World) -> None:
    labels = world.predict(6)
    world.run()
    world.predict(52)
    world.run()
    insert_batch(world.engine, "digits", (), labels)
    world.run()
    counts = [w.labelled for w in world.windows()]
    assert (counts[:6], set(counts[6:])) == ([WINDOW] * 6, {0})


def test_rows_are_pruned_though_nobody_makes_pages(world: World) -> None:
    world.predict(2)
    world.run()
    kept = [world.site.layout.windows / w.id / "window.npz" for w in world.windows()]
    assert [path.is_file() for path in kept] == [True, True]
    world.clock_s += 86_400 * (world.params.reports.keep_days + 1)
    world.run()
    assert [path.is_file() for path in kept] == [False, False]
    assert [w.report for w in world.windows()] == ["pruned", "pruned"]


def test_a_costly_shift_is_escalated_before_labels_and_told_as_coverage(world: World) -> None:
    labels = world.predict(3, at=1.5)
    world.run()
    held = world.incident()
    assert (held.state, held.body.triage, held.body.escalated) == ("open", "unclear", True)
    assert held.body.severity >= 4
    value, low, high = held.body.estimate
    assert low < value < high < 0.85
    assert held.body.advice.startswith("coverage is not known yet: 0 of ")
    assert "; estimated from where the version missed on its reference " in held.body.advice
    off = held.body.error_estimate
    assert off is not None
    assert off.low > 1.3
    assert f"%), mean absolute error {off}" in guessed(held)
    assert f"mean absolute error {off}" in world.mail()
    page = page_path(world.site, held.id).read_text()
    title = "Coverage, as measured and as estimated from where the version missed on its reference"
    assert title in page
    assert "ccuracy" not in page
    told = "\n".join(lines(tell(world.engine, "digits", held.id)))
    assert "ALARM a" in told
    assert ", coverage est. " in told
    assert ", mean absolute error est. " in told
    assert "Mean absolute error, in the target&#39;s unit, as measured and as estimated" in page
    insert_batch(world.engine, "digits", (), labels)
    world.run()
    held = world.incident()
    assert held.body.triage == "costly"
    assert held.body.accuracy == pytest.approx(value, abs=0.06)
    assert "coverage 6" in "\n".join(lines(tell(world.engine, "digits", held.id)))
    found = scored(world.windows())
    assert found is not None
    assert found.error < 0.06
    page = page_path(world.site, held.id).read_text()
    assert "Estimates against the truth, 3 windows: off by " in page
    assert " random labels measure: coverage 6" in page
    assert "Those of the mean absolute error, 3 windows: off by " in page


def test_an_error_that_is_estimated_to_have_doubled_raises_nothing(world: World) -> None:
    """The model knows the noise, so its coverage stays: then it is a matter of labels."""
    world.knows = True
    publish(world, 2000)
    world.predict(3, at=1.5)
    world.run()
    held = world.incident()
    assert held.body.error_estimate is not None
    assert held.body.error_estimate.low > 1.3
    assert (held.body.triage, held.body.escalated) == ("unclear", False)
    assert "absolute error" not in held.body.advice
    assert held.body.severity == max(w.verdict.severity for w in world.windows())


def test_rows_beyond_the_reference_leave_the_error_without_an_upper_end(world: World) -> None:
    world.predict(3, at=9.0)
    report = world.run()
    held = world.incident()
    off = held.body.error_estimate
    assert off is not None
    assert off.high is None
    assert "| est. at least " in report.markdown
    assert "mean absolute error at least " in guessed(held)
    story = tell(world.engine, "digits", held.id)
    assert ", mean absolute error est. at least " in "\n".join(lines(story))
    told = json.loads(json.dumps(asdict(story), allow_nan=False, default=str))
    assert told["windows"][-1]["error_estimate"]["high"] is None
    assert "Mean absolute error" in page_path(world.site, held.id).read_text()


def test_a_good_estimate_closes_nothing_that_labels_opened(world: World) -> None:
    labels = world.predict(4, noise=2.5)  # no column shows it: the estimate is blind to it
    world.run()
    assert all(w.estimate is not None and w.estimate.low > 0.75 for w in world.windows())
    insert_batch(world.engine, "digits", (), labels)
    events = [event.name for event in world.run().events]
    assert events[0] == "drift.detected"
    assert world.incident().body.loss.startswith("coverage ")
    assert "Labels show a loss of coverage" in world.mail()
    world.predict(6)  # estimated to be as on the reference, and without labels
    assert "drift.cleared" not in [event.name for event in world.run().events]
    assert all(w.estimate is not None and w.estimate.value > 0.85 for w in world.windows()[-6:])
    held = world.incident()
    assert (held.state, held.body.triage, held.body.lossy) == ("open", "costly", True)


@pytest.mark.parametrize("labelled", [0, 60])
def test_with_too_few_reference_labels_nothing_is_estimated(world: World, labelled: int) -> None:
    publish(world, labelled)
    world.predict(2)
    report = world.run()
    assert [w.estimate for w in world.windows()] == [None, None]
    assert [w.error_estimate for w in world.windows()] == [None, None]
    assert "| unknown | unknown |" in report.markdown
