"""Mails of an incident: what each stage says, handed to the outbox once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops.adapters import incidents, windows
from mlops.adapters.incident_page import page_path
from mlops.adapters.observe import NO_IMAGES, kept
from mlops.adapters.ports import LOOPBACK, read_ports
from mlops.core.alert import Alert
from mlops.core.wording import done, real
from mlops.errors import MonitorError, Unknown

if TYPE_CHECKING:
    import numpy as np
    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.incidents import Findings, Incident
    from mlops.core.alert import ColumnChange, Stage
    from mlops.core.decision import Decision
    from mlops.site import Site

_TOP = 5
_TRAIL = 30  # windows of a sparkline


def with_trails(
    connection: sa.Connection, held: Incident, columns: tuple[ColumnChange, ...]
) -> tuple[ColumnChange, ...]:
    """Return columns with their value in thresholds over the version's last windows."""
    recent = [
        w for w in windows.latest(connection, held.project, _TRAIL)
        if w.cut.version == held.version
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
    return News(incident, stage, words, f"{words[:1].upper()}{words[1:]}. {real(decision)}.")


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
    site: Site, incident: Incident, stage: Stage, reference: NDArray[np.uint8] = NO_IMAGES
) -> Alert:
    """Return what a mail of an incident says at a stage."""
    next_step, act = _answers(incident, stage)
    return Alert(
        project=incident.project, incident=incident.id, kind=incident.kind, cause=incident.cause,
        stage=stage, severity=incident.body.severity, version=incident.version,
        at_s=site.now.timestamp(), real=_real(incident, stage), how_bad=_how_bad(incident),
        next_step=next_step, act=act, columns=incident.body.columns[:_TOP],
        links=_links(site, incident), silence=f"mlops silence {incident.id} 24h",
        why_you=f"MLOPS_MAIL_TO names you as a receiver of alerts of {incident.project}.",
        reference=reference, current=_current(site, incident), state=_state(incident, stage),
    )  # fmt: skip


def _state(incident: Incident, stage: Stage) -> str:
    """Return what the subject ends with, where that is not the stage's own word."""
    body = incident.body
    if stage == "retrained":
        return "retraining started"
    if stage != "detected":
        return ""
    if body.triage == "costly" and body.trigger in ("granted", "in flight"):
        return "retraining started"
    if body.triage == "unclear" and body.wanted:
        return f"detected, {body.wanted} labels wanted"
    return ""


def _real(incident: Incident, stage: Stage) -> str:
    body, count = incident.body, len(incident.body.windows)
    noun = f"{count} window" + ("s" if count != 1 else "")
    if body.breaks:
        return f"Yes: data checks failed in {noun}. {'; '.join(body.breaks)}."
    if stage == "resolved":
        return f"It was: {noun} alarmed, and the alarm has cleared."
    if body.gradual:
        return f"Yes: {body.gradual}."
    over = [c for c in body.columns if c.value >= c.threshold]
    top = over[0] if over else (body.columns[0] if body.columns else None)
    first = f"Yes: {noun} alarmed."
    return f"{first} {top.column}: {top.words}." if top else first


def _how_bad(incident: Incident) -> str:
    body = incident.body
    advice = body.advice or "not known yet: labels are not here"
    if body.triage == "unclear" and body.wanted:
        advice = f"labels not here yet{_guessed(body)}. {advice}"
    more = "".join(f" Looks like {shift}." for shift in body.shifts)
    return f"{advice[0].upper()}{advice[1:]}.{more}"


def _guessed(body: Findings) -> str:
    if not body.estimate:
        return ""
    value, low, high = body.estimate
    return f"; estimated accuracy {value:.0%} ({low:.0%} to {high:.0%})"


def _answers(incident: Incident, stage: Stage) -> tuple[str, str]:
    """Return what happens next, and whether the reader must act."""
    body = incident.body
    if stage == "resolved":
        return "Nothing: the model is watched as before.", "No."
    blocked = (
        "Retraining is blocked until the data is sound again.",
        "Yes: repair the source of the data, then watch: mlops status.",
    )
    if stage == "retrained":
        return "A retrain has started; its decision comes in this thread.", "No."
    if stage == "detected" or body.triage == "quality":
        wait = f"No retrain yet: {body.answer}.", "No, unless it stays so."
        granted = "A retrain was requested and starts now.", "No."
        return {
            "quality": blocked,
            "unclear": (
                "A retrain starts once labels show a loss of accuracy.",
                _ask(incident),
            ),
            "harmless": ("Nothing: the shift costs no accuracy, so it is only logged.", "No."),
            "costly": granted if body.trigger in ("granted", "in flight") else wait,
        }[body.triage]
    decided = body.answer or "A decision was taken."
    return {
        "promoted": (f"{decided} The incident closes once its windows are quiet.", "No."),
        "refused": (decided, "No, unless it happens again."),
        "needs you": (
            decided if body.triage != "unclear" else "Nothing before labels are here.",
            "Yes: see why, then send labels or run the train flow.",
        ),
    }[stage]


def _ask(incident: Incident) -> str:
    how = f"mlops label export --incident {incident.id}. Or send labels to POST /feedback."
    if not incident.body.wanted:
        return f"Yes: label its predictions: {how}"
    return f"Yes: label {incident.body.wanted} predictions: {how}"


def _links(site: Site, incident: Incident) -> tuple[tuple[str, str], ...]:
    story = page_path(site, incident.id).absolute().as_uri()
    found = [("The incident: timeline, curves, decision", story)]
    if incident.body.windows:
        page = site.layout.windows / incident.body.windows[-1] / "report.html"
        found.append(("Evidently report of the newest window", page.absolute().as_uri()))
    port = read_ports(site.layout, site.settings).mlflow
    ui = site.settings.mlflow_ui_url.rstrip("/") or f"http://{LOOPBACK}:{port}"
    address = f"{ui}/#/models/{incident.project}/versions/{incident.version}"
    found.append((f"Version {incident.version} in MLflow", address))
    if run := site.option("run") or site.option("resume"):
        found.append(("The run in Prefect", run))
    runbook = site.layout.root / "docs" / "incidents.md"
    if runbook.is_file():
        found.append(("What to do: the runbook", runbook.absolute().as_uri()))
    return tuple(found)


def _current(site: Site, incident: Incident) -> NDArray[np.uint8]:
    """Return images of the newest alarming window; none where another machine holds them."""
    for window in reversed(incident.body.windows[-3:]):
        try:
            return kept(site.layout.windows / window)[1]
        except MonitorError:
            continue  # a mail without pictures is better than none
    return NO_IMAGES
