"""The drill itself: traffic through the model in service, judged window by window by `monitor`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops.adapters import incidents, windows
from mlops.adapters.mail.outbox import deliver
from mlops.adapters.predictions import insert_batch
from mlops.adapters.sql.engine import database
from mlops.cli.simulate.server import Server
from mlops.core.example import sampled
from mlops.core.prediction import Label
from mlops.run import run_step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import sqlalchemy as sa

    from mlops.adapters.incidents import Incident
    from mlops.adapters.scratch import Scratch
    from mlops.adapters.windows import Window
    from mlops.cli.simulate.traffic import Traffic
    from mlops.params.everything import Everything
    from mlops.site import Report, Site

_ALL = 100_000  # incidents; more than a drill has windows


@dataclass(frozen=True)
class Seen:
    """One window of the drill.

    Attributes:
        number: counts from 1.
        shifted: whether its rows were.
        end: when it ended by the drill's clock.
        version: that answered.
        accuracy: share of right answers, by the truth that only the drill knows; of a regression
            the share of targets between the outer quantiles.
        ratio: largest statistic in units of its threshold; None where nothing was judged.
        column: whose it was.
        drifted: columns over their thresholds, the strongest first.
        breaks: failed quality checks.
        alarm: whether the window alarmed.
        events: what monitoring did.
    """

    number: int
    shifted: bool
    end: datetime
    version: str
    accuracy: float
    ratio: float | None = None
    column: str = ""
    drifted: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    alarm: bool = False
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be drilled.

    Attributes:
        windows: how many in all.
        clean: how many of them before the shift.
        labelled: whether labels arrive.
    """

    windows: int
    clean: int
    labelled: bool


class Drill:
    """A scratch copy with traffic, a clock and the model in service."""

    def __init__(self, scratch: Scratch, params: Everything, traffic: Traffic, plan: Plan) -> None:
        """Take the copied version into service."""
        self.scratch, self.params, self.plan = scratch, params, plan
        self._traffic = traffic
        self._now = scratch.site.now
        self._unlabelled: list[Label] = []
        self.server = Server(scratch.site, scratch.project)
        self.server.load(scratch.version, str(scratch.folder), scratch.digest)

    @property
    def period(self) -> timedelta:
        """How long a window takes: as the user's traffic does, else `window_minutes`."""
        most = self.params.monitoring.window_minutes
        return timedelta(minutes=min(self.scratch.pace_minutes or most, most))

    @property
    def repeats(self) -> str:
        """Say how often a row is sent; empty if at most once."""
        sent = self.plan.windows * self.params.monitoring.window_rows
        times = sent / self._traffic.rows
        if times <= 1.0:
            return ""
        return f"; each is sent about {times:.1f} times, so a retrain may have met it before"

    @property
    def measure(self) -> str:
        """What `Seen.accuracy` is: `accuracy`, or of a regression `coverage`."""
        return "accuracy" if self.server.schema.classes else "coverage"

    @property
    def site(self) -> Site:
        """The scratch copy's site at the drill's time."""
        return replace(self.scratch.site, now=self._now)

    def run(self) -> Iterator[Seen]:
        """Send one window after the other, and yield what monitoring made of each.

        Raises:
            MonitorError: if it cannot judge one.
        """
        with database(self.scratch.site) as engine:
            for number in range(1, self.plan.windows + 1):
                yield self._window(engine, number)

    def incidents(self) -> tuple[Incident, ...]:
        """Return every incident of the drill, oldest first."""
        with database(self.scratch.site) as engine, engine.connect() as connection:
            return incidents.recent(connection, self.scratch.project, _ALL)[::-1]

    def pass_time(self, now: datetime) -> None:
        """Set the clock ahead, by what a retrain took."""
        self._now = max(self._now, now)

    def _window(self, engine: sa.Engine, number: int) -> Seen:
        shifted, start = number > self.plan.clean, self._now
        batch = self._traffic.draw(self.params.monitoring.window_rows, shifted=shifted)
        rows, truth, right = self.server.answer(
            batch, start.timestamp(), self.period.total_seconds()
        )
        self._now = start + self.period
        delay_s = 60 * self.params.labels.delay_minutes
        self._unlabelled += [
            Label(row.id, truth[row.id], "user", row.at_s + delay_s)
            for row in rows
            if self.plan.labelled and sampled(row.example_id, share=self.params.labels.sample)
        ]
        insert_batch(engine, self.scratch.project, rows, self._due())
        report = run_step("monitor", self.site.layout, self.site.settings, now=self._now)
        deliver(self.site, engine, self._now.timestamp())
        with engine.connect() as connection:
            count = int(report.facts["windows"] or 0)
            judged = windows.latest(connection, self.scratch.project, count)
        done = Seen(number, shifted, self._now, self.server.version, float(right.mean()))
        return _filled(done, judged[-1] if judged else None, report)

    def _due(self) -> list[Label]:
        """Take the labels whose time has come."""
        now_s, held = self._now.timestamp(), self._unlabelled
        self._unlabelled = [label for label in held if label.at_s > now_s]
        return [label for label in held if label.at_s <= now_s]


def _filled(seen: Seen, window: Window | None, report: Report) -> Seen:
    """Add what monitoring said of the window, if it judged one."""
    seen = replace(seen, events=tuple(event.name for event in report.events))
    if window is None:
        return seen
    verdict = window.verdict
    ratios = {c.column: c.value / max(c.threshold, 1e-9) for c in verdict.columns}
    top = max(ratios, key=ratios.__getitem__, default="")
    return replace(
        seen, ratio=ratios.get(top), column=top, drifted=tuple(c.column for c in verdict.drifted),
        breaks=verdict.breaks, alarm=verdict.alarm,
    )  # fmt: skip
