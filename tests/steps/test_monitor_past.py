"""What `backtest` says of a history is what `monitor` would have said: two walks of the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import accuracy_loss, incidents, response, windows
from mlops.adapters.baseline import read_baseline
from mlops.adapters.estimates import read_known
from mlops.adapters.gradual import carried
from mlops.adapters.predictions import insert_batch
from mlops.adapters.thresholds import detector, rules
from mlops.adapters.windows import Cut
from mlops.core.accuracy_loss import Promise
from mlops.core.alarm import ColumnVerdict, Verdict
from mlops.core.complete_rule import CompleteRule
from mlops.core.past_loss import Measured
from mlops.core.past_watch import Watch
from mlops.core.prediction import Label, Prediction
from tests.steps.test_monitor_step import World, images, publish
from tests.steps.test_monitor_step import world as world  # noqa: PLC0414 - a fixture of this module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.adapters.baseline import Baseline
    from mlops.adapters.estimates import Known

ROWS = 20
RIGHT = np.array([1, 0, 0], dtype="<f4").tobytes()


@dataclass(frozen=True)
class Lived:
    """A window of a made-up history: its verdict, how many of `ROWS` are right, its version."""

    verdict: Verdict
    right: int
    version: str


def history(seed: int, count: int = 80) -> Iterator[Lived]:
    """Yield windows in spells of drift, breaks, small shifts and losses, of three versions."""
    rng = np.random.default_rng(seed)
    state = {"drift": False, "broken": False, "small": False, "lossy": False}
    version = 1
    for _ in range(count):
        for name, (begins, lasts) in {
            "drift": (0.08, 0.6), "broken": (0.05, 0.5), "small": (0.05, 0.8),
            "lossy": (0.08, 0.8),
        }.items():  # fmt: skip
            state[name] = bool(rng.random() < (lasts if state[name] else begins))
        version = min(version + int(rng.random() < 0.04), 3)
        p = float(rng.random() * 0.01 + 1e-4 if state["small"] else rng.random() or 1.0)
        column = ColumnVerdict("brightness", "wasserstein", 0.9 if state["drift"] else 0.1, 0.5,
                               state["drift"], 0.1)  # fmt: skip
        verdict = Verdict(ROWS, (column,), (), calibrated=True, p=p)
        if state["broken"]:
            verdict = Verdict(ROWS, (), ("blank: all of it",), calibrated=True)
        yield Lived(verdict, int(rng.binomial(ROWS, 0.6 if state["lossy"] else 0.97)), str(version))


class Monitored:
    """The incidents of `monitor`, in a database."""

    def __init__(self, world: World) -> None:
        self.world, self.seq = world, 0
        self.numbers: dict[str, int] = {}
        self.read: dict[str, tuple[Baseline, Known]] = {}
        self.since_s = 0.0
        self.places: dict[int, int] = {}

    def live(self, place: int, one: Lived) -> None:
        """Let `monitor` judge a window, and its labels come a minute later."""
        world, name = self.world, "digits"
        start_s, version = world.clock_s, one.version
        if version not in self.numbers:
            self.numbers[version], self.since_s = 0, start_s
        self.numbers[version] += 1
        made = [
            Prediction(
                f"q{place}-{n}", start_s + n, version, f"e{place}-{n}", None, b"", RIGHT, 0.0
            )
            for n in range(ROWS)
        ]
        insert_batch(world.engine, name, made)
        first, self.seq = self.seq + 1, self.seq + ROWS
        self.places[first] = place
        world.clock_s += ROWS
        cut = Cut(
            name, version, self.numbers[version], first_seq=first, last_seq=self.seq, rows=ROWS,
            start_s=start_s, end_s=world.clock_s - 1,
        )  # fmt: skip
        monitoring = world.params.monitoring
        folder = world.site.layout.serving / name / version
        if version not in self.read:
            baseline = read_baseline(folder, ())
            self.read[version] = baseline, read_known(folder, baseline)
        gathering = detector(monitoring, None)
        with world.engine.begin() as connection:
            held = carried(connection, cut)
            evidence = held
            if not one.verdict.breaks and gathering is not None:
                evidence = gathering.after(held, one.verdict.p)
            window = windows.insert(connection, cut, one.verdict, evidence=evidence)
            assert window is not None
            judged = response.Judged(window, None, *self.read[version], version,
                                     self.since_s, world.clock_s)  # fmt: skip
            response.respond(connection, judged, rules(monitoring).rule, gathering)
        labels = [
            Label(row.id, 0 if n < one.right else 1, "random", world.clock_s)
            for n, row in enumerate(made)
        ]
        insert_batch(world.engine, name, (), labels)
        world.clock_s += 60.0
        accuracy_loss.respond(world.engine, name, world.params, (version, lambda: folder),
                              now_s=world.clock_s)  # fmt: skip

    def state(self, version: str) -> tuple[object, ...]:
        """Return what is open: quality, and of drift its kind, whose it is, loss and beginning."""
        with self.world.engine.connect() as connection:
            quality = incidents.find_open(connection, "digits", "quality")
            drift = incidents.find_open(connection, "digits", "drift")
        if drift is None:
            return (quality is not None, None)
        kind = "accuracy" if drift.cause == "accuracy" else "drift"
        inherited = drift.version != version
        return (quality is not None, kind, inherited, drift.body.lossy,
                inherited or self.places[drift.body.since_seq])  # fmt: skip


def state(watch: Watch) -> tuple[object, ...]:
    """Return the same of a backtest."""
    if watch.drift is None:
        return (watch.quality is not None, None)
    return (watch.quality is not None, watch.drift.detector, watch.inherited, watch.lossy,
            watch.inherited or watch.drift.since)  # fmt: skip


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_both_hold_the_same_incidents_after_every_window(world: World, seed: int) -> None:
    for version in ("2", "3"):
        publish(world, version, images(world.rng, 400))
    monitoring = world.params.monitoring
    baseline = read_baseline(world.site.layout.serving / "digits" / "1", ())
    assert baseline.accuracy is not None
    promise = Promise(baseline.accuracy, baseline.labels, monitoring.accuracy_margin,
                      monitoring.min_labels)  # fmt: skip
    wanted = rules(monitoring)
    watch = Watch(CompleteRule(wanted.rule, detector(monitoring, None)),
                  Measured(promise, wanted.rate))  # fmt: skip
    monitored, serving = Monitored(world), "1"
    found = set()
    for place, one in enumerate(history(seed)):
        if one.version != serving:
            watch.renew(promise)
            serving = one.version
        watch.judge(place, one.verdict)
        watch.measure(place, one.right, ROWS)
        watch.hear(place)
        monitored.live(place, one)
        assert (place, *state(watch)) == (place, *monitored.state(serving))
        found.add(state(watch)[:2])
    assert len(found) > 3
