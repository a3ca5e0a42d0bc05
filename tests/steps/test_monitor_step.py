from __future__ import annotations

import gc
import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from mlops.adapters import incidents, registry, response, retrains, windows
from mlops.adapters.closing import close
from mlops.adapters.estimates import scored
from mlops.adapters.files import write_json
from mlops.adapters.incident_page import page_path
from mlops.adapters.incident_story import tell
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.long_reference import find
from mlops.adapters.mail.outbox import deliver
from mlops.adapters.predictions import insert_batch
from mlops.adapters.realised import realised
from mlops.adapters.reports import make_named
from mlops.adapters.serving_incidents import open_refusal
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import outbox
from mlops.adapters.thresholds import thresholds_for, write_thresholds
from mlops.cli.incidents import lines
from mlops.core.example import example_id
from mlops.core.prediction import Label, Prediction
from mlops.core.schema import ImageSchema, to_plain
from mlops.errors import EXIT_DRIFT, DataError, MonitorError, RegistryError, Unavailable, UsageError
from mlops.params.load import load
from mlops.steps.monitor import MonitorParams, monitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.incidents import Incident
    from mlops.site import Report, Site

WINDOW = 50
CLASSES = 3


def images(rng: np.random.Generator, rows: int) -> NDArray[np.uint8]:
    """Draw 8×8 images of bars: the class is where the bar stands."""
    label = rng.integers(0, CLASSES, rows)
    found = rng.integers(0, 30, (rows, 8, 8, 1))
    for at in range(2):
        found[np.arange(rows), :, 2 * label + at] += rng.integers(120, 180, (rows, 1, 1))
    return np.asarray(found, dtype=np.uint8)


def classify(x_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return probabilities, (N, 3), by the brightness of each bar's place; never NaN."""
    bars = x_NHWC.astype(np.float64).mean(axis=(1, 3))[:, : 2 * CLASSES].reshape(-1, CLASSES, 2)
    scores = np.exp(bars.mean(axis=2) / 40)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True), dtype=np.float32)


def brightened(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(x.astype(int) + 50, 0, 255), dtype=np.uint8)


@dataclass
class World:
    """A project with served predictions, its monitor, and a clock."""

    site: Site
    engine: sa.Engine
    rng: np.random.Generator
    clock_s: float
    params: MonitorParams
    step_s: float = 1.0  # from one prediction to the next

    def predict(
        self, count: int, version: str = "1", *, bright: bool = False, blank: bool = False
    ) -> list[Prediction]:
        """Serve `count` windows; return what was logged."""
        x = images(self.rng, count * WINDOW)
        x = brightened(x) if bright else x
        x = np.zeros_like(x) if blank else x
        return self.log(x, classify(x), version)

    def log(
        self, x: NDArray[np.uint8], p: NDArray[np.float32], version: str = "1"
    ) -> list[Prediction]:
        made = []
        for image, row in zip(x, p, strict=True):
            self.clock_s += self.step_s
            raw = image.tobytes()
            made.append(Prediction(
                f"p{self.clock_s:.0f}", self.clock_s, version, example_id(raw, image.shape), None,
                raw, row.astype("<f4").tobytes(), 0.001,
            ))  # fmt: skip
        insert_batch(self.engine, "digits", made)
        return made

    def label(self, rows: list[Prediction], accuracy: float) -> None:
        """Label predictions so that the model was right for a share of them."""
        self.clock_s += 1.0
        given = []
        for n, row in enumerate(rows):
            said = int(np.frombuffer(row.probabilities, dtype="<f4").argmax())
            right = n < accuracy * len(rows)
            label = said if right else (said + 1) % CLASSES
            given.append(Label(row.id, label, "random", self.clock_s))
        insert_batch(self.engine, "digits", (), given)

    def run(self, *options: str, minutes: float = 0.0) -> Report:
        """Run the monitor at the world's time."""
        self.clock_s += minutes * 60
        ahead = timedelta(seconds=self.clock_s - self.site.now.timestamp())
        site = replace(self.site, now=self.site.now + ahead, options=frozenset(options))
        return monitor(self.params, site)

    def incident(self) -> Incident:
        with self.engine.connect() as connection:
            return incidents.recent(connection, "digits")[0]

    def mail(self) -> str:
        """Return the text of the newest mail."""
        with self.engine.connect() as connection:
            query = sa.select(outbox.c.message).order_by(outbox.c.seq.desc())
            raw = connection.scalar(query.limit(1))
        body = message_from_bytes(raw or b"", policy=SMTP).get_body(("plain",))
        return str(body.get_content()) if body else ""

    def mails(self) -> list[str]:
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(outbox.c.key).order_by(outbox.c.seq)).all()
            return [row.key.rsplit(":", 1)[-1] for row in rows]


@pytest.fixture
def world(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    params = load(site.layout.params, MonitorParams)
    told = {
        "window_rows": WINDOW,
        "min_rows": 40,
        "replicates": 200,
        "false_alarms": "1 per 200 windows",
    }
    monitoring = params.monitoring.model_copy(update=told)
    trigger = params.trigger.model_copy(update={"min_new_labels": 60})
    params = params.model_copy(update={"monitoring": monitoring, "trigger": trigger})

    def fetch(site: Site, project: str, version: str) -> Path:
        return site.layout.serving / project / version

    monkeypatch.setattr(registry, "fetch", fetch)
    engine = open_database(site.settings.database(site.layout))
    made = World(site, engine, np.random.default_rng(1), site.now.timestamp(), params)
    publish(made, "1", images(made.rng, 400))
    yield made
    engine.dispose()


def publish(world: World, version: str, reference: NDArray[np.uint8]) -> Path:
    """Write a version's folder as `register` leaves it."""
    folder = world.site.layout.serving / "digits" / version
    folder.mkdir(parents=True)
    p = classify(reference)
    np.savez(folder / "reference.npz", features=reference, probabilities=p, label=p.argmax(axis=1))
    schema = ImageSchema(tuple(str(k) for k in range(p.shape[1])), *reference.shape[1:])
    write_json(folder / "model.json", {"schema": to_plain(schema)})
    write_thresholds(folder, world.params.monitoring)
    return folder


def test_without_predictions_there_is_nothing_to_judge(world: World) -> None:
    assert world.run().summary == "no predictions yet"


def test_clean_windows_raise_no_incident(world: World) -> None:
    world.predict(20)
    report = world.run("exit-code")
    assert report.facts["windows"] == 20
    assert report.facts["incident"] is None
    assert report.exit_code == 0
    assert report.events == ()
    assert world.mails() == []
    verdict = json.loads((world.site.layout.windows / "digits-1-20" / "verdict.json").read_text())
    assert verdict["last_seq"] == 20 * WINDOW
    assert world.run().facts["windows"] == 0


def test_drift_opens_one_incident_with_one_mail_and_asks_for_labels(world: World) -> None:
    world.predict(2)
    world.predict(3, bright=True)
    report = world.run("exit-code")
    assert report.exit_code == EXIT_DRIFT
    assert [event.name for event in report.events] == ["drift.detected"]
    assert "| brightness | wasserstein |" in report.markdown
    held = world.incident()
    assert report.facts["incident"] == held.id == "drift-digits-1-4"
    assert held.body.windows == ("digits-1-3", "digits-1-4", "digits-1-5")
    assert held.body.triage == "unclear"
    assert "0 of 120 random labels; 120 more" in held.body.advice
    assert held.body.wanted == 120
    assert held.body.estimate[1] <= held.body.estimate[0] <= held.body.estimate[2]
    assert held.body.shifts[0].startswith("covariate shift: the inputs moved")
    assert [m.words.partition(":")[0] for m in held.body.timeline] == ["opened", "unclear"]
    assert any("brighter" in c.words for c in held.body.columns)
    world.predict(2, bright=True)
    assert world.run().events == ()
    assert world.mails() == ["detected"]


def slightly(world: World, count: int, version: str = "1") -> None:
    """Serve `count` windows in which one image in eight is a little brighter."""
    x = images(world.rng, count * WINDOW)
    x[::8] = np.clip(x[::8].astype(int) + 4, 0, 255)
    world.log(x, classify(x), version)


def test_a_shift_too_small_for_any_window_adds_up_to_one_incident(world: World) -> None:
    slightly(world, 16)
    assert [event.name for event in world.run().events] == ["drift.detected"]
    held = world.incident()
    assert held.cause == "brightness given the rest"
    assert "windows together show a shift, " in held.body.gradual
    assert "once in 800 windows; on average brightness given the rest" in held.body.gradual
    assert "sd higher than the other columns let expect" in held.body.gradual
    assert held.body.since_seq == 1
    assert " windows together show a shift, " in world.mail().partition("\n")[0]
    page = page_path(world.site, held.id).read_text()
    assert held.body.gradual in page
    x = images(world.rng, 9 * WINDOW)  # it is over: half the evidence is gone with each window
    world.log(x, classify(x))
    assert [event.name for event in world.run().events] == ["drift.cleared"]


def test_evidence_begins_anew_with_a_promoted_version(world: World) -> None:
    slightly(world, 6)
    world.run()
    publish(world, "2", images(world.rng, 400))
    slightly(world, 1, "2")
    world.run()
    with world.engine.connect() as connection:
        found = windows.latest(connection, "digits", 9)
    gathered = [w.evidence for w in found]
    assert gathered[5] > 10
    assert gathered[6] == pytest.approx(0.5 / np.sqrt(max(found[6].verdict.p, 0.002)))


def test_without_continuous_mode_nothing_adds_up(world: World) -> None:
    monitoring = world.params.monitoring.model_copy(update={"continuous": False})
    world.params = world.params.model_copy(update={"monitoring": monitoring})
    slightly(world, 3)
    world.run()
    with world.engine.connect() as connection:
        found = windows.latest(connection, "digits", 9)
    assert [w.evidence for w in found] == [0.0] * 3
    folder = world.site.layout.serving / "digits" / "1"
    assert thresholds_for(world.site, folder, monitoring).budget == 1 / 200


def test_costly_drift_with_labels_asks_for_one_retrain_in_ten_runs(world: World) -> None:
    rows = world.predict(3, bright=True)
    world.run()
    world.label(rows[:50], accuracy=0.5)
    waiting = world.run()
    assert [event.name for event in waiting.events] == ["retrain.refused"]
    assert waiting.events[0].payload["why"] == "labels"
    world.label(rows[50:100], accuracy=0.5)
    reports = [world.run() for _ in range(10)]
    asked = [e for r in reports for e in r.events if e.name == "retrain.requested"]
    assert len(asked) == 1
    assert asked[0].payload["incident"] == world.incident().id
    assert reports[0].facts["retrain"] == asked[0].payload["retrain"] == "digits-retrain-1"
    assert [e.name for r in reports[1:] for e in r.events] == []
    with world.engine.begin() as connection:
        assert retrains.count_30_days(connection, "digits", now_s=world.clock_s) == 1
        shown = {w.id: (w.labelled, w.correct) for w in windows.latest(connection, "digits", 9)}
    assert shown == {"digits-1-1": (50, 25), "digits-1-2": (50, 25), "digits-1-3": (0, 0)}
    later = world.run(minutes=11)
    assert [e.payload["retrain"] for e in later.events] == ["digits-retrain-1"]  # sent again


def test_drift_that_never_clears_is_bounded_by_cooldown_and_budget(world: World) -> None:
    told = {"cooldown_minutes": 120.0, "max_per_month": 4, "min_new_labels": 30}
    trigger = world.params.trigger.model_copy(update=told)
    world.params = world.params.model_copy(update={"trigger": trigger})
    asked_s: list[float] = []
    refused: set[object] = set()
    for _ in range(16):  # a window and its labels every 55 minutes
        world.label(world.predict(1, bright=True), accuracy=0.5)
        report = world.run(minutes=55)
        for event in report.events:
            refused |= {event.payload["why"]} if event.name == "retrain.refused" else set()
            if event.name != "retrain.requested":
                continue
            asked_s.append(world.clock_s)
            with world.engine.begin() as connection:
                retrains.start(connection, str(event.payload["retrain"]), now_s=world.clock_s)
                retrains.end(
                    connection, str(event.payload["retrain"]), outcome="reject", now_s=world.clock_s
                )
    assert len(asked_s) == 4
    assert min(np.diff(asked_s)) >= 120 * 60
    assert refused == {"cooldown", "budget"}
    with world.engine.connect() as connection:
        assert len(incidents.recent(connection, "digits")) == 1
    stages = world.mails()
    assert stages[0] == "detected"
    assert len(stages) <= 1 + 4  # a mail for each retrain, none for each window


def test_what_happened_while_servers_were_away_is_caught_up_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = world.predict(4, bright=True)
    away = world.site.settings.model_copy(
        update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")}
    )
    with pytest.raises(Unavailable, match="check MLOPS_DATABASE_URL"):
        monitor(world.params, replace(world.site, settings=away))

    def no_registry(*_: object) -> Path:
        msg = "MLflow does not answer"
        raise Unavailable(msg)

    there = registry.fetch
    monkeypatch.setattr(registry, "fetch", no_registry)
    for _ in range(3):
        with pytest.raises(Unavailable):
            world.run()
    monkeypatch.setattr(registry, "fetch", there)
    world.label(rows, accuracy=0.5)
    reports = [world.run() for _ in range(3)]
    assert [r.facts["windows"] for r in reports] == [4, 0, 0]
    names = [event.name for report in reports for event in report.events]
    assert names == ["drift.detected", "retrain.requested"]
    assert world.mails() == ["detected"]


def test_while_prefect_is_down_a_retrain_is_asked_for_again_and_then_starts_once(
    world: World,
) -> None:
    """Events that nobody hears are lost; once somebody does, the late ones start nothing more."""
    world.label(world.predict(4, bright=True), accuracy=0.5)
    heard: list[str] = []
    for _ in range(12):  # two hours
        reports = world.run(minutes=10.5).events
        heard += [str(e.payload["retrain"]) for e in reports if e.name == "retrain.requested"]
    assert len(heard) == 12
    assert set(heard) == {"digits-retrain-1"}
    with world.engine.begin() as connection:
        started = [retrains.start(connection, one, now_s=world.clock_s) for one in heard]
    assert started == [True] + [False] * 11
    assert world.run(minutes=10.5).events == ()
    with world.engine.connect() as connection:
        assert retrains.count_30_days(connection, "digits", now_s=world.clock_s) == 1
    assert world.mails() == ["detected"]


@pytest.mark.parametrize("receivers", ["", "nobody", "ops@example.org ceo@example.org"])
def test_a_wrong_mail_address_holds_up_its_mails_and_nothing_else(
    world: World, receivers: str
) -> None:
    right = world.site
    world.site = replace(right, settings=right.settings.model_copy(update={"mail_to": receivers}))
    world.label(world.predict(4, bright=True), accuracy=0.5)
    report = world.run()
    assert "retrain.requested" in [event.name for event in report.events]
    assert "; mails wait: MLOPS_MAIL_TO: " in report.summary
    assert world.mails() == []
    world.site = right
    assert "mails wait" not in world.run(minutes=5).summary
    assert world.mails() == ["detected"]


def test_a_version_that_was_refused_is_told_though_nothing_was_predicted_yet(
    site: Site,
) -> None:
    engine = open_database(site.settings.database(site.layout))
    open_refusal(engine, "digits", "1", "bytes do not match", at_s=site.now.timestamp())
    assert monitor(load(site.layout.params, MonitorParams), site).summary == "no predictions yet"
    with engine.connect() as connection:
        [key] = connection.execute(sa.select(outbox.c.key)).scalars()
    engine.dispose()
    assert key.startswith("serving-")
    page = page_path(site, key.partition(":")[0]).read_text()
    assert "bytes do not match" in page
    assert "labels" not in page.lower()


def test_harmless_drift_is_logged_and_retrains_nothing(world: World) -> None:
    world.label(world.predict(3, bright=True), accuracy=1.0)
    report = world.run()
    assert [event.name for event in report.events] == ["drift.detected"]
    held = world.incident()
    assert held.body.triage == "harmless"
    assert world.mails() == []
    with world.engine.connect() as connection:
        recent = windows.latest(connection, "digits", 9)
    told = scored(recent)
    assert told is not None  # estimates are held against the truth once it is here
    assert told.error < 0.05


def test_a_promoted_version_resolves_its_predecessors_incident(world: World) -> None:
    rows = world.predict(3, bright=True)
    world.label(rows, accuracy=0.5)
    assert "retrain.requested" in [event.name for event in world.run().events]
    publish(world, "2", brightened(images(world.rng, 400)))
    world.predict(1, "2", bright=True)
    assert world.run().events == ()
    world.predict(1, "2", bright=True)
    assert [event.name for event in world.run().events] == ["drift.cleared"]
    held = world.incident()
    assert (held.state, held.version) == ("resolved", "1")
    assert world.mails() == ["detected", "resolved"]
    told = world.mail()
    assert "Effect  Accuracy fell from 100.0% on the reference to 50.0%." in told
    assert "Ended   Version 2 is in service." in told
    assert "with version 2       unknown  labels not here yet" in told
    assert re.search(r"brightness +[\d.]+ of [\d.]+ -> 0[\d.]* of [\d.]+ +at the alarm: ", told)
    world.predict(5, "2", bright=True)
    assert world.run().facts["incident"] is None


def test_the_fixed_reference_reports_what_the_champion_has_adapted_to(world: World) -> None:
    Ledger(world.engine, "digits").append(Row("observed", "o1", 1.0, "test", None, "1", "{}"))
    world.predict(1)
    world.run()
    publish(world, "2", brightened(images(world.rng, 400)))
    Ledger(world.engine, "digits").append(Row("observed", "o2", 2.0, "test", "1", "2", "{}"))
    world.predict(2, "2", bright=True)
    report = world.run()
    assert report.facts["incident"] is None  # it is reported, and never an alarm
    assert "brighter than the reference" in report.markdown
    with world.engine.connect() as connection:
        own, seen = windows.latest(connection, "digits", 2 + 1)[:2]
    assert own.fixed is None  # of the first champion it is the reference anyway
    assert seen.fixed is not None
    make_named(world.site, world.engine, "digits", seen.id)
    page = (world.site.layout.windows / seen.id / "report.html").read_text()
    assert (
        page.index("Two baselines") < page.index("Against the fixed reference, version 1") < 2**21
    )
    brightness = next(c for c in seen.fixed.inputs if c.column == "brightness")
    assert f"<strong>{brightness.value:.6g}</strong>" in page
    assert seen.fixed.version == "1"
    assert seen.fixed.beyond >= 1
    assert seen.fixed.of == 6  # what images look like; answers of two models are not compared
    assert "Against the fixed reference, version 1's: " in str(seen.fixed)
    x = images(world.rng, 3 * WINDOW)  # back to what it was: for the champion that is drift
    world.log(x, classify(x), "2")
    world.run()
    assert "none of 6 input columns beyond its threshold." in world.mail()
    told = "\n".join(lines(tell(world.engine, "digits", world.incident().id)))
    assert "reference Against the fixed reference, version 1's: none of 6" in told
    assert "version 1&#39;s: none of 6" in page_path(world.site, world.incident().id).read_text()


def test_a_fixed_reference_that_is_gone_or_of_other_examples_is_not_compared(
    world: World,
) -> None:
    monitoring = world.params.monitoring.model_copy(update={"baseline": "7"})
    world.params = world.params.model_copy(update={"monitoring": monitoring})
    world.predict(1)
    world.run()
    with world.engine.connect() as connection:
        [seen] = windows.latest(connection, "digits", 1)
    assert seen.fixed is None
    monitoring = monitoring.model_copy(update={"baseline": "1"})
    found = find(world.site, world.engine, "digits", monitoring, None)
    assert found is not None
    other = replace(found.baseline, schema=ImageSchema(("a", "b"), 8, 8, 1))
    assert found.compare(found.baseline.columns, other) is None


def test_broken_data_pages_a_person_and_blocks_retraining(world: World) -> None:
    world.label(world.predict(3, bright=True), accuracy=0.5)
    world.predict(1, blank=True)
    report = world.run()
    assert [event.name for event in report.events] == [
        "drift.detected", "quality.broken",
    ]  # fmt: skip
    assert sorted(world.mails()) == ["detected", "needs you"]
    with world.engine.connect() as connection:
        drift = incidents.find_open(connection, "digits", "drift")
        assert retrains.last(connection, "digits") is None
    assert drift is not None
    assert drift.body.triage == "quality"
    world.predict(2, bright=True)
    assert "retrain.requested" in [event.name for event in world.run().events]


def test_probabilities_that_are_no_numbers_are_broken_data(world: World) -> None:
    x = images(world.rng, WINDOW)
    world.log(x, np.full((WINDOW, CLASSES), np.nan, dtype=np.float32))
    report = world.run()
    assert [event.name for event in report.events] == ["quality.broken"]
    assert "50 of 50 rows are no distribution" in world.incident().cause


def test_scores_that_are_empty_are_broken_data_and_a_label_of_one_is_named(world: World) -> None:
    x = images(world.rng, WINDOW)
    rows = world.log(x, np.zeros((WINDOW, 0), dtype=np.float32))
    assert [event.name for event in world.run().events] == ["quality.broken"]
    world.clock_s += 1.0
    given = [Label(rows[3].id, 1, "random", world.clock_s)]
    insert_batch(world.engine, "digits", (), given)
    with pytest.raises(DataError, match=f"prediction {rows[3].id}: its logged scores are empty"):
        world.run(minutes=1.0)


def test_what_cannot_be_seen_is_an_error_not_health(world: World) -> None:
    rows = [replace(row, id=f"h{row.id}", features=None) for row in world.predict(1)]
    assert world.run().facts["windows"] == 1
    insert_batch(world.engine, "digits", rows)
    report = world.run()
    assert [event.name for event in report.events] == ["quality.broken"]
    assert "unknown: no features were kept of 50 of 50" in world.incident().cause
    assert "MLOPS_PAYLOADS=keep" in world.incident().cause
    assert world.mails() == ["needs you"]
    world.predict(2)  # kept again: the windows after it are judged, and close the incident
    assert world.run().facts["windows"] == 2
    assert world.incident().state == "resolved"
    world.predict(1)
    (world.site.layout.serving / "digits" / "1" / "reference.npz").unlink()
    with pytest.raises(MonitorError, match="no usable reference"):
        world.run()


def test_a_kill_in_a_window_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.predict(4, bright=True)
    calls: list[int] = []
    real = windows.insert

    def killed(*given: object, **more: object) -> object:
        calls.append(1)
        done = real(*given, **more)  # type: ignore[arg-type]
        if len(calls) % 2:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(windows, "insert", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            world.run()
    monkeypatch.setattr(windows, "insert", real)
    world.run()
    with world.engine.connect() as connection:
        numbers = [w.cut.number for w in windows.latest(connection, "digits", 9)]
        assert len(incidents.recent(connection, "digits")) == 1
    assert numbers == [1, 2, 3, 4]
    assert world.mails() == ["detected"]


def test_memory_is_flat_in_the_number_of_windows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.predict(24)
    monkeypatch.setattr(response, "_LOOK_BACK", 8)  # windows: fewer than are judged here
    real, held = windows.insert, dict[int, int]()

    def looked_at(*given: object, **more: object) -> object:
        number = given[1].number  # type: ignore[attr-defined]
        if number in (12, 24):
            held[number] = sum(isinstance(one, windows.Window) for one in gc.get_objects())
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(windows, "insert", looked_at)
    assert world.run().facts["windows"] == 24
    assert held[12] == held[24] <= 8  # what the rule looks back on, however many there are


def test_a_replaced_version_that_is_gone_does_not_blind_the_monitor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(site: Site, project: str, version: str) -> Path:
        if version == "1":
            msg = "version 1 was deleted"
            raise RegistryError(msg)
        return site.layout.serving / project / version

    world.predict(1)
    publish(world, "2", images(world.rng, 400))
    world.predict(1, "2")
    monkeypatch.setattr(registry, "fetch", gone)
    assert world.run().facts["windows"] == 1
    with world.engine.connect() as connection:
        lost = windows.get(connection, "digits", "digits-1-1")
    assert lost is not None
    assert lost.verdict.breaks == ("unknown: version 1 was deleted",)


def test_a_canary_that_predicted_last_is_not_the_version_in_service(world: World) -> None:
    row = Row("observed", "o1", 1.0, "test", None, "1", "{}")
    Ledger(world.engine, "digits").append(row)
    publish(world, "2", images(world.rng, 400))
    write_json(world.site.layout.serving / "digits" / "canary.json", {
        "version": "2", "share": 0.1, "state": "running", "since_s": 0.0, "reason": "",
        "races": 0, "requests": [0, 0], "failed": [0, 0], "slow": [0, 0],
    })  # fmt: skip
    x = images(world.rng, 45)  # enough for the last window of a version that was replaced
    world.log(x, classify(x), "2")
    for _ in range(4):
        world.predict(1, bright=True)
        x = images(world.rng, 1)
        world.log(x, classify(x), "2")
        report = world.run()
    assert report.facts["incident"] == world.incident().id
    assert world.incident().version == "1"
    with world.engine.connect() as connection:
        assert windows.get(connection, "digits", "digits-2-1") is None


def test_other_rules_than_the_registered_ones_calibrate_anew(world: World) -> None:
    folder = world.site.layout.serving / "digits" / "1"
    before = (folder / "thresholds.json").read_bytes()
    same = thresholds_for(world.site, folder, world.params.monitoring)
    strict = world.params.monitoring.model_copy(update={"false_alarms": "1 per 2000 windows"})
    other = thresholds_for(world.site, folder, strict)
    assert other.budget < same.budget
    assert other.limits > same.limits
    assert thresholds_for(world.site, folder, strict) == other
    assert (folder / "thresholds.json").read_bytes() == before


def _trigger(world: World, **changes: object) -> None:
    trigger = world.params.trigger.model_copy(update=changes)
    world.params = world.params.model_copy(update={"trigger": trigger})


def _monitoring(world: World, **changes: object) -> None:
    monitoring = world.params.monitoring.model_copy(update=changes)
    world.params = world.params.model_copy(update={"monitoring": monitoring})


def _ended(world: World, retrain: str) -> None:
    with world.engine.begin() as connection:
        retrains.start(connection, retrain, now_s=world.clock_s)
        world.clock_s += 60.0
        retrains.end(connection, retrain, outcome="reject", now_s=world.clock_s)


def mail_subject(world: World) -> str:
    """Return the newest mail's subject."""
    with world.engine.connect() as connection:
        query = sa.select(outbox.c.message).order_by(outbox.c.seq.desc())
        mail = message_from_bytes(connection.scalar(query.limit(1)) or b"", policy=SMTP)
    return str(mail["Subject"])


def losing(world: World) -> list[Prediction]:
    """Let labels show a loss while the inputs look as ever."""
    world.label(world.predict(4), accuracy=1.0)
    assert world.run(minutes=1.0).events == ()
    rows = world.predict(3)
    world.label(rows, accuracy=0.5)
    return rows


def test_a_measured_loss_without_drift_is_one_incident_one_mail_and_one_retrain(
    world: World,
) -> None:
    losing(world)
    report = world.run(minutes=1.0)
    assert [event.name for event in report.events] == ["drift.detected", "retrain.requested"]
    opened, asked = report.events
    held = world.incident()
    assert (held.id, held.cause, held.kind) == ("accuracy-digits-1-7", "accuracy", "drift")
    assert opened.payload["cause"] == "accuracy"
    assert asked.payload["incident"] == held.id
    assert str(asked.payload["reason"]).startswith("performance: accuracy 25.0% (")
    assert held.body.loss == (
        "accuracy 25.0% (17.5% to 34.3%) on 100 labels of digits-1-6 to digits-1-7, 100.0% on 400 "
        "of the reference: a loss beyond the margin of 3.0%"
    )
    assert held.body.windows == ("digits-1-6", "digits-1-7")
    assert held.body.shifts[0].startswith("concept shift: labels contradict answers to inputs")
    told = world.mail()
    assert "Yes: labels show it in 2 windows." in told
    assert "Accuracy fell from 100.0% on the reference to 25.0%." in told
    assert "before it             100.0%  98.5% to 100.0%, 250 labels" in told
    assert "during it              25.0%  17.5% to 34.3%, 100 labels" in told
    assert "The inputs in window digits-1-7, which look as before" in told
    # Again and again: nothing is doubled; what was asked for is waited for, then the cooldown.
    assert [e.name for _ in range(3) for e in world.run().events] == []
    assert world.mails() == ["detected"]
    _ended(world, str(asked.payload["retrain"]))
    world.run()
    assert world.incident().body.trigger == "labels"
    world.label(world.predict(2), accuracy=0.5)
    assert [e.payload.get("why") for e in world.run(minutes=1.0).events] == ["cooldown"]
    assert [e.name for e in world.run(minutes=20.0).events] == ["retrain.requested"]
    with world.engine.connect() as connection:
        assert len(incidents.recent(connection, "digits")) == 1
    text = "\n".join(lines(tell(world.engine, "digits", held.id)))
    assert "measured  accuracy 25.0% (17.5% to 34.3%)" in text
    page = page_path(world.site, held.id).read_text()
    assert "Measured: accuracy 25.0%" in page
    assert "The inputs, which look as before" in page


def test_where_no_prediction_comes_any_more_a_person_is_paged_once(world: World) -> None:
    world.step_s = 60.0
    world.predict(150)
    assert world.run(minutes=60.0).events == ()  # a window took 49 minutes
    assert world.run(minutes=35.0).events == ()
    report = world.run("exit-code", minutes=15.0)
    assert [event.name for event in report.events] == ["quality.broken"]
    assert report.exit_code == EXIT_DRIFT
    held = world.incident()
    words = (
        "volume: no prediction for 110 minutes; in the 5.2 days before hardly a window, or the "
        "time between two, took more than 49.0"
    )
    assert (held.cause, held.body.breaks, held.body.windows) == (words, (words,), ())
    assert mail_subject(world).startswith("[QUALITY:5] digits")
    assert f"Yes: {words}." in " ".join(world.mail().split())
    assert words in page_path(world.site, held.id).read_text()
    assert words in "\n".join(lines(tell(world.engine, "digits", held.id)))
    assert world.run(minutes=30.0).events == ()
    assert world.mails() == ["needs you"]
    world.predict(3)  # they come again, and are sound
    world.run()
    assert world.incident().state == "resolved"
    assert f"It was real: {words}." in " ".join(world.mail().split())
    assert world.mails() == ["needs you", "resolved"]


def test_rows_that_are_handed_over_late_make_no_stop(world: World) -> None:
    world.step_s = 60.0
    world.predict(150)
    world.run()
    x = images(world.rng, 1)
    now_s = world.clock_s
    world.clock_s -= 3 * 3600.0  # another server kept it until now
    world.log(x, classify(x))
    world.clock_s = now_s
    assert world.run(minutes=1.0).events == ()


def test_a_stop_is_noted_once_in_the_quality_incident_that_is_open(world: World) -> None:
    world.step_s = 60.0
    world.predict(150)
    world.predict(1, blank=True)
    assert [event.name for event in world.run().events] == ["quality.broken"]
    happened = [event.name for _ in range(3) for event in world.run(minutes=60.0).events]
    assert happened == ["quality.broken"]  # another cause, and it is told once
    told = [m.words for m in world.incident().body.timeline if m.words.startswith("no prediction")]
    assert len(told) == 1


def test_a_stop_that_a_person_has_closed_is_not_opened_again(world: World) -> None:
    world.step_s = 60.0
    world.predict(150)
    assert world.run(minutes=120.0).events
    held = world.incident()
    close(world.engine, "digits", held.id, by="ann", why="shut down", now_s=world.clock_s)
    assert world.run(minutes=30.0).events == ()
    assert world.incident().state == "resolved"


def confused(world: World, count: int) -> dict[str, int]:
    """Serve windows of which what looks like class 1 is of class 2 now; return what was said."""
    rows = world.predict(count)
    world.clock_s += 1.0
    said = {r.id: int(np.frombuffer(r.probabilities, dtype="<f4").argmax()) for r in rows}
    given = [Label(i, 2 if k == 1 else k, "random", world.clock_s) for i, k in said.items()]
    insert_batch(world.engine, "digits", (), given)
    return said


def test_the_part_that_lost_more_than_the_others_is_named_everywhere(world: World) -> None:
    world.label(world.predict(4), accuracy=1.0)
    world.run(minutes=1.0)
    said = confused(world, 4)
    world.run(minutes=1.0)
    held = world.incident()
    [words] = held.body.slices
    of_two = sum(k > 0 for k in said.values())
    share = sum(k == 2 for k in said.values()) / of_two
    assert words == (
        f"class 2: 100.0% to {share:.1%} ({of_two} labels); the others 100.0% to 100.0%"
    )
    told = [m.words for m in held.body.timeline if m.words.startswith("lost more")]
    assert told == [f"lost more than the others: {words}"]
    assert f"Lost more than the others: {words}." in " ".join(world.mail().split())
    assert f"slice     {words}" in "\n".join(lines(tell(world.engine, "digits", held.id)))
    assert f"Lost more than the others: {words}." in page_path(world.site, held.id).read_text()
    world.label(world.predict(1), accuracy=1.0)  # some more, of all classes and right
    world.run(minutes=1.0)
    assert world.incident().body.slices == held.body.slices  # not twice as many yet
    confused(world, 3)
    world.run(minutes=1.0)
    newer = world.incident().body
    assert (newer.sliced, newer.looks) == (2 * held.body.sliced, 2)
    assert newer.slices[0].startswith("class 2: 100.0% to ")
    assert newer.slices != held.body.slices
    assert len([m for m in newer.timeline if m.words.startswith("lost more")]) == 1


def test_a_loss_of_all_alike_names_no_part(world: World) -> None:
    losing(world)
    world.run(minutes=1.0)
    held = world.incident()
    assert (held.body.triage, held.body.slices) == ("costly", ())
    assert held.body.sliced == held.body.labelled


def test_quiet_windows_do_not_end_a_loss_and_labels_of_the_same_version_do(world: World) -> None:
    _monitoring(world, accuracy_margin=0.1)
    losing(world)
    world.run(minutes=1.0)
    world.predict(6)  # quiet, and without labels
    assert world.run(minutes=1.0).events == ()
    assert world.incident().state == "open"
    world.label(world.predict(2), accuracy=0.98)
    world.run(minutes=1.0)
    assert world.incident().state == "resolved"
    told = world.mail()
    assert "It was real: labels showed it in 2 windows." in told
    assert "Ended   Accuracy went back by itself, under version 1." in told
    with world.engine.connect() as connection:
        came = realised(connection, "digits", world.params.monitoring)
    assert (came.incidents, came.false_incidents, came.unmeasured) == (1, 0, 0)  # it was costly
    assert world.run(minutes=1.0).events == ()  # the loss that was is not found again


def test_labels_of_a_promoted_version_end_the_loss_of_its_predecessor(world: World) -> None:
    losing(world)
    world.run(minutes=1.0)
    Ledger(world.engine, "digits").append(
        Row("observed", "o2", world.clock_s, "test", "1", "2", "{}")
    )
    publish(world, "2", images(world.rng, 400))
    rows = world.predict(3, "2")
    assert world.run(minutes=1.0).events == ()  # quiet, and nothing is measured of it
    world.label(rows, accuracy=1.0)
    assert [event.name for event in world.run(minutes=1.0).events] == ["drift.cleared"]
    told = world.mail()
    assert "Ended   Version 2, chosen by a person in MLflow, is in service since 12:" in told
    assert "Accuracy 100.0% (97.5% to 100.0%) on 150 labels of digits-2-1 to digits-2-3" in told
    assert "with version 2        100.0%  97.5% to 100.0%, 150 labels" in told
    assert world.mails() == ["detected", "resolved"]


def test_a_promoted_version_that_loses_too_takes_the_incident_on(world: World) -> None:
    losing(world)
    world.run(minutes=1.0)
    publish(world, "2", images(world.rng, 400))
    Ledger(world.engine, "digits").append(
        Row("observed", "o2", world.clock_s, "test", "1", "2", "{}")
    )
    world.label(world.predict(3, "2"), accuracy=0.5)
    world.run(minutes=1.0)
    held = world.incident()
    assert (held.state, held.version, held.body.triage) == ("open", "2", "costly")
    assert world.mails() == ["detected", "measured"]  # of another version it is news again


def test_a_loss_in_the_windows_that_ended_a_predecessors_drift_is_not_forgotten(
    world: World,
) -> None:
    world.predict(4, bright=True)
    world.run()
    publish(world, "2", images(world.rng, 400))
    Ledger(world.engine, "digits").append(
        Row("observed", "o2", world.clock_s, "test", "1", "2", "{}")
    )
    rows = []
    while world.incident().state == "open":
        rows += world.predict(1, "2")
        world.run()
    world.label(rows, accuracy=0.5)
    assert world.run(minutes=1.0).events[0].name == "drift.detected"
    assert (world.incident().cause, world.incident().version) == ("accuracy", "2")


def test_a_loss_in_an_open_drift_incident_escalates_it(world: World) -> None:
    _monitoring(world, continuous=False)
    rows = world.predict(4, bright=True)
    world.run()
    before = world.incident()
    world.label(rows, accuracy=0.5)
    assert [e.name for e in world.run(minutes=1.0).events] == ["retrain.requested"]
    held = world.incident()
    assert held.id == before.id
    assert held.body.lossy
    assert held.body.timeline[2].words.startswith("labels show a loss: accuracy ")
    with world.engine.connect() as connection:
        assert len(incidents.recent(connection, "digits")) == 1
    rows = world.predict(4)  # the inputs went back, and nobody knows whether accuracy did
    assert world.run(minutes=1.0).events == ()
    assert world.incident().state == "open"
    world.label(rows, accuracy=1.0)
    world.run(minutes=1.0)
    assert not world.incident().body.lossy
    world.predict(2)
    assert [e.name for e in world.run(minutes=1.0).events] == ["drift.cleared"]


def test_a_loss_that_joins_an_open_incident_is_one_mail_that_says_what_it_costs(
    world: World,
) -> None:
    _monitoring(world, continuous=False, accuracy_margin=0.25)
    _trigger(world, enabled=False)
    rows = world.predict(8, bright=True)
    world.run(minutes=1.0)
    world.label(rows, accuracy=1.0)
    world.run(minutes=1.0)
    assert (world.incident().body.triage, world.mails()) == ("harmless", ["detected"])
    rows = world.predict(3, bright=True)
    world.label(rows, accuracy=0.3)
    world.run(minutes=1.0)
    held = world.incident()
    assert (held.body.triage, held.body.lossy) == ("costly", True)
    assert held.body.since_seq > 400
    told = world.mail()
    assert (
        mail_subject(world) == f"[DRIFT:{held.body.severity}] digits · {held.cause} · loss measured"
    )
    assert "Real    Yes: labels show what it costs." in told
    assert "Effect  Accuracy fell from 100.0% on the reference to " in told
    assert "Next    No retrain yet: params.yaml: trigger.enabled is false" in told
    assert "You     No, unless it stays so." in told
    for _ in range(3):
        world.label(world.predict(1, bright=True), accuracy=0.3)
        world.run(minutes=300.0)
    assert world.mails() == ["detected", "measured"]
    assert deliver(world.site, world.engine, world.clock_s) == 2
    [first, second] = sorted(
        (message_from_bytes(m.read_bytes()) for m in world.site.layout.mailbox.glob("*.eml")),
        key=lambda mail: "In-Reply-To" in mail,
    )
    assert second["In-Reply-To"] == first["Message-ID"]


def test_a_loss_that_is_measured_no_more_says_so_once_and_a_person_may_close_it(
    world: World,
) -> None:
    _monitoring(world, accuracy_margin=0.1)
    losing(world)
    world.run(minutes=1.0)
    since_s = world.clock_s - 62.0  # the newest label is of the last prediction but one's second
    world.run(minutes=60 * 30)
    assert world.incident().body.unmeasured_s == 0.0  # nothing was predicted: nothing is overdue
    world.predict(2)
    world.run(minutes=60 * 23)
    assert world.incident().body.unmeasured_s == 0.0
    for _ in range(2):
        world.run(minutes=60)
    held = world.incident()
    assert held.state == "open"
    assert held.body.unmeasured_s == pytest.approx(since_s, abs=2.0)
    said = "ot measured since 2026-01-05 12:0"
    wanted = held.body.unmeasured_labels
    assert wanted >= 30
    command = f": label {wanted} predictions (mlops label export --incident {held.id})"
    told = "\n".join(lines(tell(world.engine, "digits", held.id)))
    assert f"overdue   n{said}" in told
    assert command in told
    assert said in page_path(world.site, held.id).read_text()
    assert world.mails() == ["detected", "overdue"]
    assert f"Effect  N{said}" in world.mail()
    assert "It stays open: unknown is not healthy." in world.mail()
    assert f"Yes: label {wanted} predictions: mlops label" in world.mail()
    world.label(world.predict(1), accuracy=0.5)
    world.run(minutes=1.0)
    assert world.incident().body.unmeasured_s == 0.0
    world.predict(1)
    world.run(minutes=60 * 25)
    assert world.mails() == ["detected", "overdue", "overdue 2"]
    with pytest.raises(UsageError, match="say why it is closed"):
        close(world.engine, "digits", held.id, by="ann", why=" ", now_s=world.clock_s)
    close(world.engine, "digits", held.id, by="ann", why="no labels in winter", now_s=world.clock_s)
    assert world.run(minutes=1.0).events == ()  # the loss that was is not found again
    assert world.incident().state == "resolved"
    told = " ".join(world.mail().split())
    assert "Ended A person closed it, ann: no labels in winter." in told
    assert "Not measured since 2026-01-07" in told
    with pytest.raises(UsageError, match="it is resolved already"):
        close(world.engine, "digits", held.id, by="ann", why="again", now_s=world.clock_s)


def test_a_kill_while_a_loss_opens_its_incident_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing(world)
    real = windows.set_incident

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(windows, "set_incident", killed)
    with pytest.raises(KeyboardInterrupt):
        world.run(minutes=1.0)
    monkeypatch.setattr(windows, "set_incident", real)
    names = [event.name for _ in range(2) for event in world.run().events]
    assert names == ["drift.detected", "retrain.requested"]
    assert world.mails() == ["detected"]


def test_broken_data_blocks_the_retrain_of_a_loss(world: World) -> None:
    losing(world)
    world.predict(1, blank=True)
    report = world.run(minutes=1.0)
    assert [event.name for event in report.events] == ["quality.broken", "drift.detected"]
    with world.engine.connect() as connection:
        held = incidents.find_open(connection, "digits", "drift")
    assert held is not None
    assert held.body.triage == "quality"


def test_a_loss_is_told_and_asks_for_nothing_where_that_is_switched_off(world: World) -> None:
    _trigger(world, on_loss=False)
    world.label(world.predict(4), accuracy=0.5)
    report = world.run(minutes=1.0)
    assert [event.name for event in report.events] == ["drift.detected", "retrain.refused"]
    assert "No retrain yet: params.yaml: trigger.on_loss is false" in world.mail()


def test_a_loss_with_drift_is_the_incidents_to_answer_for(world: World) -> None:
    world.label(world.predict(4, bright=True), accuracy=0.5)
    events = world.run(minutes=1.0).events
    assert [e.name for e in events] == ["drift.detected", "retrain.requested"]
    assert str(events[1].payload["reason"]).startswith("drift: ")


def test_so_many_new_labels_ask_for_a_retrain_and_fewer_are_not_told(world: World) -> None:
    _trigger(world, on_new_labels=120)
    world.label(world.predict(2), accuracy=1.0)
    report = world.run(minutes=1.0)
    assert report.events == ()
    assert "no retrain" not in report.summary
    world.label(world.predict(1), accuracy=1.0)
    report = world.run(minutes=1.0)
    [event] = report.events
    asked, _, probe = str(event.payload["reason"]).partition("; ")
    assert asked == "labels: 150 new labels since the last retrain"
    assert probe.startswith("probe ")
    assert report.facts["retrain"] == event.payload["retrain"]
    assert "retrain requested: 150 new labels" in report.summary


def relabelled(world: World, count: int) -> list[Prediction]:
    """Serve bright windows whose answers are all wrong in one way: there is all to be gained."""
    rows = world.predict(count, bright=True)
    world.label(rows, accuracy=0.0)
    return rows


def test_what_a_retrain_would_gain_is_told_wherever_one_looks(world: World) -> None:
    relabelled(world, 5)
    asked = world.run(minutes=1.0).events[-1]
    assert asked.name == "retrain.requested"
    assert "; probe +" in str(asked.payload["reason"])
    assert str(asked.payload["reason"]).endswith("cost not known yet")
    held = world.incident()
    assert held.body.worth.startswith("worth it: a head on the watched columns")
    assert "trigger.min_gain asks for +1.0 pp" in held.body.worth
    assert held.body.worth.endswith("20 of 20 retrains left in 30 days")
    assert held.body.worth in page_path(world.site, held.id).read_text().replace("&#43;", "+")
    assert f"Worth of a retrain: {held.body.worth}." in world.mail().replace("\n", " ")
    told = list(lines(tell(world.engine, "digits", held.id)))
    assert f"worth     {held.body.worth}" in told
    assert any(line.startswith("retrain   digits-retrain-1") for line in told)


def test_a_probe_that_decides_refuses_what_surely_gains_too_little(world: World) -> None:
    _trigger(world, probe="decide", min_gain=0.9, on_new_labels=120)
    world.label(world.predict(4), accuracy=1.0)
    first = world.run(minutes=1.0)
    [event] = first.events
    assert (event.name, event.payload["why"]) == ("retrain.refused", "gain")
    assert str(event.payload["reason"]).startswith("labels: not worth it: ")
    assert "no retrain for labels: not worth it: " in first.summary
    again = world.run(minutes=1.0)  # the probe stands while hardly a label came
    assert again.events == ()
    assert "no retrain for labels: not worth it: " in again.summary
    world.label(world.predict(1), accuracy=1.0)
    assert [e.name for e in world.run(minutes=1.0).events] == ["retrain.refused"]
    relabelled(world, 5)
    world.run(minutes=1.0)
    assert world.incident().body.trigger == "granted"  # there is something to be gained now


def test_an_incident_hears_of_the_probe_that_refused_its_retrain(world: World) -> None:
    _trigger(world, probe="decide", min_gain=0.9)
    world.label(world.predict(4, bright=True), accuracy=0.5)
    events = [e for e in world.run(minutes=1.0).events if e.name == "retrain.refused"]
    assert [e.payload["why"] for e in events] == ["gain"]
    body = world.incident().body
    assert (body.trigger, body.answer) == ("gain", body.worth)
    assert body.timeline[-1].words.startswith("no retrain: not worth it: ")
    with world.engine.connect() as connection:
        assert retrains.in_flight(connection, "digits") is None


def test_a_probe_that_cannot_be_made_says_so_and_refuses_nothing(world: World) -> None:
    _trigger(world, probe="decide", min_gain=0.9)
    split = world.params.split.model_copy(update={"test": 0.8})
    world.params = world.params.model_copy(update={"split": split})
    world.label(world.predict(4, bright=True), accuracy=0.5)
    assert world.run(minutes=1.0).events[-1].name == "retrain.requested"
    worth = world.incident().body.worth
    assert worth.startswith("no probe of the gain: ")
    assert "judge (the test side) and must not be spent" in worth


def test_without_probes_nothing_is_said_of_gains(world: World) -> None:
    _trigger(world, probe="off")
    relabelled(world, 5)
    asked = world.run(minutes=1.0).events[-1]
    assert asked.name == "retrain.requested"
    assert "probe" not in str(asked.payload["reason"])
    assert world.incident().body.worth == ""
    assert not world.site.layout.probe.exists()
