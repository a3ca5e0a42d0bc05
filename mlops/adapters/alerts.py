"""Mails of an incident: what each stage says, handed to the outbox once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from mlops.adapters import incidents, telling, windows
from mlops.adapters.aftermath import Aftermath, compared
from mlops.adapters.effect import measure
from mlops.adapters.incident import ACCURACY
from mlops.adapters.incident_page import page_path
from mlops.adapters.kept import read_kept
from mlops.adapters.observe import NO_IMAGES
from mlops.adapters.ports import LOOPBACK, read_ports
from mlops.core.alert import Alert
from mlops.core.wording import done, real
from mlops.errors import MonitorError, Unknown

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.incidents import Incident
    from mlops.core.alert import ColumnChange, Stage
    from mlops.core.decision import Decision
    from mlops.site import Site

PICTURED = ("detected", "needs you")
"""Stages whose mails show pictures, and columns as they are."""
_TOP = 5
_TRAIL = 30  # windows of a sparkline


def with_trails(
    connection: sa.Connection, held: Incident, columns: tuple[ColumnChange, ...]
) -> tuple[ColumnChange, ...]:
    """Return columns with their value in thresholds over the last windows.

    Of the incident's version; once it is resolved also of the version that serves since.
    """
    recent = [
        w for w in windows.latest(connection, held.project, _TRAIL)
        if w.cut.version == held.version or held.state == "resolved"
    ]  # fmt: skip
    ratios: dict[str, list[float]] = {}
    for window in recent:
        for c in window.verdict.columns:
            ratios.setdefault(c.column, []).append(c.value / max(c.threshold, 1e-9))
    return tuple(replace(c, trail=tuple(ratios.get(c.column, ()))) for c in columns)


@dataclass(frozen=True)
class News:
    """What an incident's thread is to hear: at which stage, in a clause and in sentences."""

    incident: str | None
    stage: Stage | None
    words: str
    answer: str


def news_of(decision: Decision, incident: str | None) -> News:
    """Return what an incident's thread hears of a decision.

    While a decision waits for a person it has no stage: the request has a thread of its own, and
    the incident hears the answer.
    """
    words, outcome = done(decision), decision.verdict.outcome
    stages: dict[str, Stage] = {"promote": "promoted", "reject": "refused"}
    stage: Stage | None = stages.get(outcome, "needs you")
    asked: dict[str, Stage | None] = {
        "pending": None, "declined": "refused", "withdrawn": "needs you",
    }  # fmt: skip
    stage = asked.get(decision.approval, stage)
    said = (f"{clause[:1].upper()}{clause[1:]}." for clause in (words, real(decision)))
    return News(incident, stage, words, " ".join(said))


def note(connection: sa.Connection, project: str, news: News, now_s: float) -> bool:
    """Note a mail as due; False if there is no such incident, nothing to tell or it was told."""
    try:
        held = incidents.get(connection, project, news.incident or "")
    except Unknown:
        return False
    if news.stage is None or news.stage in held.body.due:
        return False
    body = replace(held.body, answer=news.answer, due=(*held.body.due, news.stage))
    body = body.told(now_s, f"{news.stage}: {news.words}")
    incidents.save(connection, replace(held, body=body, updated_s=now_s))
    return True


def alert(
    site: Site,
    incident: Incident,
    stage: Stage,
    reference: NDArray[np.uint8] = NO_IMAGES,
    after: Aftermath = Aftermath(),  # noqa: B008 - frozen
) -> Alert:
    """Return what a mail of an incident says at a stage.

    Pictures belong to the alarm: later stages, which may be another version's, show none.
    """
    window, current = ("", NO_IMAGES)
    if stage in PICTURED:
        window, current = _current(site, incident)
    made = worded(incident, stage, after, at_s=site.now.timestamp())
    return replace(
        made, links=_links(site, incident, after), reference=reference if window else NO_IMAGES,
        current=current, pictured=_pictured(incident, window),
    )  # fmt: skip


def worded(incident: Incident, stage: Stage, after: Aftermath, *, at_s: float) -> Alert:
    """Return a mail's words, without links and pictures."""
    said, over = telling.answers(incident, stage, after), stage == "resolved"
    columns = incident.body.columns[:_TOP]
    if over and after.closing is not None:
        columns = compared(columns, after.closing)
    return Alert(
        project=incident.project, incident=incident.id, kind=incident.kind,
        cause=telling.cause(incident, stage), stage=stage, severity=incident.body.severity,
        version=incident.version or "–", at_s=at_s, real=said.real, how_bad=said.how_bad,
        next_step=said.next_step, act=said.act,
        columns=columns, links=(), silence=_command(incident, over=over),
        why_you=f"MLOPS_MAIL_TO names you as a receiver of alerts of {incident.project}.",
        reference=NO_IMAGES, current=NO_IMAGES, state=telling.state(incident, stage),
        figures=after.figures if incident.kind == "drift" else (),
        measure=measure(incident), moved=_moved(incident, stage, after), over=over,
        pictured=_pictured(incident),
    )  # fmt: skip


def _moved(incident: Incident, stage: Stage, after: Aftermath) -> str:
    """Return the heading over the columns, which are those of the alarm."""
    columns = incident.body.columns
    quiet = incident.cause == ACCURACY and all(c.value < c.threshold for c in columns)
    if stage == "resolved" and after.closing is not None:
        what = "The inputs at the alarm, and" if quiet else "What had moved, and"
        return f"{what} how far from version {after.version}'s reference they are now"
    where = f" in window {incident.body.shown}" if incident.body.shown else ""
    if quiet:
        return f"The inputs{where}, which look as before"
    return f"What moved{where}" if stage in PICTURED else f"What had moved at the alarm{where}"


def _pictured(incident: Incident, window: str = "") -> str:
    newest = window or (incident.body.windows[-1] if incident.body.windows else "")
    what = "where labels show the loss" if incident.cause == ACCURACY else "in alarm"
    return f"Window {newest}, {what}"


def _command(incident: Incident, *, over: bool) -> str:
    return f"mlops incident {incident.id}" if over else f"mlops silence {incident.id} 24h"


def _links(site: Site, incident: Incident, after: Aftermath) -> tuple[tuple[str, str], ...]:
    story = _address(site, page_path(site, incident.id))
    found = [("The incident: timeline, curves, decision", story)]
    newest = incident.body.windows[-1:]
    shown = incident.body.shown or "".join(newest)
    for window in dict.fromkeys((shown, *newest) if shown else ()):  # a stop has no window
        page = site.layout.windows / window / "report.html"
        what = "with these distances" if window == incident.body.shown else "the newest"
        found.append((f"Evidently report of window {window}, {what}", _address(site, page)))
    port = read_ports(site.layout, site.settings).mlflow
    ui = site.settings.mlflow_ui_url.rstrip("/") or f"http://{LOOPBACK}:{port}"
    decided = after.decision.candidate.version if after.decision else ""
    for version in sorted({incident.version, after.version, decided} - {""}):
        address = f"{ui}/#/models/{incident.project}/versions/{version}"
        found.append((f"Version {version} in MLflow", address))
    if run := site.option("run") or site.option("resume"):
        found.append(("The run in Prefect", run))
    runbook = site.layout.root / "docs" / "incidents.md"
    if runbook.is_file() and not site.settings.pages_url:  # it lies outside of what is shown there
        found.append(("What to do: the runbook", runbook.absolute().as_uri()))
    return tuple(found)


def _address(site: Site, page: Path) -> str:
    """Return where people open a page of `.mlops/`: on the web where there is an address for it."""
    base = site.settings.pages_url.strip().rstrip("/")
    if not base:
        return page.absolute().as_uri()
    return f"{base}/{quote(page.relative_to(site.layout.state).as_posix())}"


def _current(site: Site, incident: Incident) -> tuple[str, NDArray[np.uint8]]:
    """Return the newest alarming window and images of it; nothing where none are held here."""
    for window in reversed(incident.body.windows[-3:]):
        try:
            return window, read_kept(site.layout.windows / window).shown
        except MonitorError:
            continue  # a mail without pictures is better than none
    return "", NO_IMAGES
