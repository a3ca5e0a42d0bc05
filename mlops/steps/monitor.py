"""Step `monitor`: judge every complete window, once, and answer for what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.adapters import (
    beside,
    gradual,
    incidents,
    measured,
    pace,
    registry,
    standstill,
    windows,
)
from mlops.adapters.answering import answer
from mlops.adapters.backfill import backfill
from mlops.adapters.baseline import Baseline, read_baseline
from mlops.adapters.estimates import Known, guess, read_known
from mlops.adapters.handing import try_hand_over
from mlops.adapters.happened import sent, unsent
from mlops.adapters.kept import keep
from mlops.adapters.ledger import Ledger
from mlops.adapters.long_reference import LongReference, find
from mlops.adapters.moves import since
from mlops.adapters.observe import NO_IMAGES, observe
from mlops.adapters.report_store import prune_here
from mlops.adapters.response import Judged, respond
from mlops.adapters.sql.engine import database
from mlops.adapters.tally import Tally
from mlops.adapters.threads import one_thread
from mlops.adapters.thresholds import detector, rules, thresholds_for
from mlops.adapters.window_table import markdown
from mlops.core.alarm import Verdict
from mlops.core.redacted import union
from mlops.core.volume import SPANS
from mlops.errors import EXIT_DRIFT, RegistryError
from mlops.params.base import View
from mlops.params.labels import LabelsSection
from mlops.params.mail import MailSection
from mlops.params.monitoring import MonitoringSection
from mlops.params.project import ProjectSection
from mlops.params.reports import ReportsSection
from mlops.params.split import SplitSection
from mlops.params.trigger import TriggerSection
from mlops.site import SENDS, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import sqlalchemy as sa

    from mlops.adapters.windows import Cut, Window
    from mlops.core.continuous import Detector
    from mlops.core.thresholds import Thresholds
    from mlops.site import Event, Site

_SHOWN = 5


class MonitorParams(View):
    """What monitoring may see."""

    project: ProjectSection
    monitoring: MonitoringSection
    trigger: TriggerSection
    labels: LabelsSection
    mail: MailSection
    split: SplitSection
    reports: ReportsSection


@dataclass(frozen=True)
class _Watched:
    """A version with what its windows are compared with."""

    baseline: Baseline
    thresholds: Thresholds
    known: Known
    detector: Detector | None
    fixed: LongReference | None


@dataclass(frozen=True)
class _Run:
    """One run of the step: what it was given, and the version in service with since when."""

    params: MonitorParams
    site: Site
    engine: sa.Engine
    serving: str
    since_s: float
    receiving: frozenset[str]

    @property
    def now_s(self) -> float:
        """Seconds since 1970."""
        return self.site.now.timestamp()


def monitor(params: MonitorParams, site: Site) -> Report:
    """Judge every complete window in order; open, follow and resolve incidents; ask for retrains.

    Each window is one transaction, so a killed run loses and doubles nothing; events of incidents
    that such a run did not get to send are given out by the next. The verdict does not wait for
    Evidently: windows are left with their report `pending`.

    Raises:
        MonitorError: if a verdict cannot be computed: unknown is not healthy.
    """
    name = params.project.name
    with database(site) as engine:
        with engine.connect() as connection:
            versions = windows.versions(connection, name)
            events = list(unsent(connection, name))
        if not versions:
            return _nothing_yet(site, engine, name)
        # Not the version that predicted last: under a canary that is either of two.
        book = Ledger(engine, name)
        serving = book.in_service() or versions[-1]
        receiving = beside.receiving(site.layout.serving / name, serving, versions[-1])
        run = _Run(params, site, engine, serving, since(book.entries(), serving), receiving)
        judged = Tally()
        reference = NO_IMAGES
        with one_thread("blas"):
            for version in versions:
                for window, watched, happened in _judge(run, version):
                    judged = judged.plus(window)
                    events.extend(happened)
                    reference = watched.baseline.shown
        events.extend(standstill.respond(engine, name, versions, serving, now_s=run.now_s))
        backfill(engine, name, measured.expect(params.labels, run.now_s), run.now_s)
        answered = answer(site, engine, params, serving)
        events.extend(answered.events)
        _, trouble = try_hand_over(site, engine, name, reference)
        prune_here(site, engine, name, keep_days=params.reports.keep_days)  # if nobody makes pages
        with engine.connect() as connection:
            held = [i for i in incidents.find_all_open(connection, name) if i.kind != "serving"]
            recent = windows.latest(connection, name, _SHOWN)
        if SENDS not in site.options:
            sent(engine, name, events)
    words = [judged.words(held, tuple(events)), *(one.words for one in answered.said), *trouble]
    return Report(
        summary="; ".join(words),
        facts=judged.facts(held, tuple(events)),
        exit_code=EXIT_DRIFT if held and "exit-code" in site.options else 0,
        markdown=markdown(recent),
        events=tuple(events),
    )


def _nothing_yet(site: Site, engine: sa.Engine, name: str) -> Report:
    """Send what waits all the same: a server may have refused the first version."""
    _, trouble = try_hand_over(site, engine, name)
    return Report("; ".join(("no predictions yet", *trouble)), facts=Tally().facts((), ()))


def _judge(run: _Run, version: str) -> Iterator[tuple[Window, _Watched, tuple[Event, ...]]]:
    """Judge each complete window of a version, in order."""
    held: dict[tuple[str, ...], _Watched] = {}
    while True:
        with run.engine.connect() as connection:
            cut = windows.next_cut(
                connection, run.params.project.name, version, run.params.monitoring,
                now_s=run.now_s, receiving=version in run.receiving,
            )  # fmt: skip
            rows = windows.read(connection, cut) if cut else ()
        if cut is None:
            return
        redacted = union(row.redacted for row in rows)
        try:
            if redacted not in held:
                held[redacted] = _watched(run, version, redacted)
        except RegistryError as error:
            if version == run.serving:
                raise
            _write_off(run, cut, str(error))
            continue
        done = _judge_one(run, cut, rows, held[redacted])
        if done is not None:
            yield done[0], held[redacted], done[1]


def _judge_one(
    run: _Run, cut: Cut, rows: Sequence[sa.Row[Any]], watched: _Watched
) -> tuple[Window, tuple[Event, ...]] | None:
    """Judge one window and commit it; None if another process was first."""
    with run.engine.connect() as connection:
        before = windows.spans(connection, cut.project, SPANS)
    seen = observe(rows, cut, watched.baseline, watched.thresholds, before)
    keep(run.site.layout.windows / cut.id, cut, seen)
    long = watched.fixed
    fixed = long.compare(seen.columns, watched.baseline) if long else None
    told, regression = guess(rows, seen.columns, watched.known), not watched.baseline.schema.classes
    with run.engine.begin() as connection:
        window = windows.insert(
            connection, cut, seen.verdict, told.accuracy, regression=regression,
            fixed=fixed, redacted=seen.redacted, off=told.error,
            evidence=_evidence(connection, run, cut, seen.verdict, watched.detector),
            counted=cut.version == run.serving and not seen.verdict.breaks,
        )  # fmt: skip
        if window is None:
            return None
        judged = Judged(
            window, seen.columns, watched.baseline, watched.known, run.serving, run.since_s,
            run.now_s,
        )  # fmt: skip
        rule = rules(run.params.monitoring).rule
        return window, respond(connection, judged, rule, watched.detector)


def _evidence(
    connection: sa.Connection, run: _Run, cut: Cut, verdict: Verdict, detector: Detector | None
) -> float:
    """Return what the version's windows add up to; broken data is no evidence either way."""
    if detector is None or cut.version != run.serving:
        return 0.0
    held = gradual.carried(connection, cut)
    return held if verdict.breaks else detector.after(held, verdict.p)


def _write_off(run: _Run, cut: Cut, why: str) -> None:
    """Record that a replaced version's last window cannot be judged, so that it is not retried."""
    verdict = Verdict(cut.rows, (), (f"unknown: {why}",), calibrated=False)
    with run.engine.begin() as connection:
        windows.insert(connection, cut, verdict, counted=False)


def _watched(run: _Run, version: str, redacted: tuple[str, ...]) -> _Watched:
    """Fetch a version's reference and thresholds from the registry, verified.

    Both without the columns that are redacted in a window: what is not there has not gone missing.
    """
    folder = registry.fetch(run.site, run.params.project.name, version)
    monitoring = run.params.monitoring
    with run.engine.connect() as connection:
        found = pace.minutes(connection, run.params.project.name)
    thresholds = thresholds_for(run.site, folder, monitoring, found, redacted)
    long = find(run.site, run.engine, run.params.project.name, monitoring, found, redacted=redacted)
    baseline = read_baseline(folder, redacted)
    return _Watched(
        baseline, thresholds, read_known(folder, baseline), detector(monitoring, found),
        long if long and long.version != version else None,
    )  # fmt: skip
