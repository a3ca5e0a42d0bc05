"""Mails of an incident: what each stage says, handed to the outbox once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import incidents, windows
from mlops.adapters.incident_page import page_path, write_page
from mlops.adapters.mail.notify import notify_within
from mlops.adapters.observe import kept
from mlops.adapters.ports import LOOPBACK, read_ports
from mlops.core.alert import Alert
from mlops.core.wording import done, real
from mlops.errors import MonitorError, UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.incidents import Incident
    from mlops.core.alert import Stage
    from mlops.core.decision import Decision
    from mlops.site import Site

_TOP = 5
NO_IMAGES = np.zeros((0, 1, 1, 1), dtype=np.uint8)
"""Where there is no picture to show."""


def hand_over(
    site: Site, engine: sa.Engine, project: str, reference: NDArray[np.uint8] = NO_IMAGES
) -> int:
    """Put every mail that is due into the outbox; return how many were new.

    The mail and the note that it was handed over are one transaction, so a kill loses or doubles
    nothing. A silenced incident's mails are noted as handed over, and are not sent.

    Args:
        site: where it runs; `now` dates the mails.
        engine: the project's database.
        project: its name.
        reference: up to six images, uint8 (N, H, W, C), shown beside the window's.

    Raises:
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    now_s, new = site.now.timestamp(), 0
    with engine.connect() as connection:
        recent = incidents.recent(connection, project)
    waiting = [i for i in recent if i.body.to_notify()]
    changed = [i for i in recent if i.state == "open" or i.body.to_notify()]
    for found in reversed(waiting):
        for stage in found.body.to_notify():
            with engine.begin() as connection:
                # Before the incident is read: `save` writes the whole row, and must not undo what
                # a monitor wrote meanwhile.
                windows.serialise(connection)
                held = incidents.get(connection, project, found.id)
                if stage not in held.body.to_notify():
                    continue  # another process was first
                if not incidents.silenced(connection, project, held.id, now_s=now_s):
                    new += notify_within(site, connection, alert(site, held, stage, reference))
                body = replace(held.body, notified=(*held.body.notified, stage))
                incidents.save(connection, replace(held, body=body))
    for found in changed:
        write_page(site, engine, project, found.id)
    return new


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
    except UsageError:
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
        reference=reference, current=_current(site, incident),
    )  # fmt: skip


def _real(incident: Incident, stage: Stage) -> str:
    body, count = incident.body, len(incident.body.windows)
    noun = f"{count} window" + ("s" if count != 1 else "")
    if body.breaks:
        return f"Yes: data checks failed in {noun}. {'; '.join(body.breaks)}."
    if stage == "resolved":
        return f"It was: {noun} alarmed, and the alarm has cleared."
    over = [c for c in body.columns if c.value >= c.threshold]
    top = over[0] if over else (body.columns[0] if body.columns else None)
    first = f"Yes: {noun} alarmed."
    return f"{first} {top.column}: {top.words}." if top else first


def _how_bad(incident: Incident) -> str:
    advice = incident.body.advice or "not known yet: labels are not here"
    return f"{advice[0].upper()}{advice[1:]}."


def _answers(incident: Incident, stage: Stage) -> tuple[str, str]:
    """Return what happens next, and whether the reader must act."""
    body = incident.body
    if stage == "resolved":
        return "Nothing: the model is watched as before.", "No."
    blocked = (
        "Retraining is blocked until the data is sound again.",
        "Yes: repair the source of the data, then watch: mlops status.",
    )
    if stage == "detected" or body.triage == "quality":
        wait = f"No retrain yet: {body.answer}.", "No, unless it stays so."
        granted = "A retrain was requested and starts now.", "No."
        return {
            "quality": blocked,
            "unclear": (
                "A retrain starts once labels show a loss of accuracy.",
                f"Yes: send labels to POST /feedback. {body.advice}.",
            ),
            "harmless": ("Nothing: the shift costs no accuracy, so it is only logged.", "No."),
            "costly": granted if body.trigger in ("granted", "in flight") else wait,
        }[body.triage]
    decided = body.answer or "A decision was taken."
    return {
        "promoted": (f"{decided} The incident closes once its windows are quiet.", "No."),
        "refused": (decided, "No, unless it happens again."),
        "needs you": (decided, "Yes: see why, then send labels or run the train flow."),
    }[stage]


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
    return tuple(found)


def _current(site: Site, incident: Incident) -> NDArray[np.uint8]:
    """Return images of the newest alarming window; none where another machine holds them."""
    for window in reversed(incident.body.windows[-3:]):
        try:
            return kept(site.layout.windows / window)[1]
        except MonitorError:
            continue  # a mail without pictures is better than none
    return NO_IMAGES
