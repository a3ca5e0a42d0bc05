"""Step `announce`: end the retrain that a decision belongs to and tell its incident's thread."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from mlops.adapters import incidents, retrains, windows
from mlops.adapters.alerts import hand_over
from mlops.adapters.sql.engine import database
from mlops.core.canonical import from_json
from mlops.core.decision import Decision
from mlops.core.wording import done, real
from mlops.errors import UsageError
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.retrains import Retrain
    from mlops.site import Site

_STAGES: dict[str, Literal["promoted", "refused", "needs you"]] = {
    "promote": "promoted",
    "reject": "refused",
    "inconclusive": "needs you",
}


class AnnounceParams(View):
    """What announcing may see."""

    project: ProjectSection


def announce(params: AnnounceParams, site: Site) -> Report:
    """Record the newest decision as the outcome of the retrain in flight, and mail its incident.

    Run again, it changes nothing: a retrain ends once, a stage is mailed once.
    """
    name, now_s = params.project.name, site.now.timestamp()
    decision = _newest(site)
    if decision is None:
        return Report("nothing was decided yet")
    with database(site) as engine:
        with engine.begin() as connection:
            windows.serialise(connection)
            ended = _end(connection, name, decision, now_s)
            incident = decision.incident or (ended.incident if ended else None)
            told = bool(incident) and _tell(connection, name, str(incident), decision, now_s)
        mails = hand_over(site, engine, name)
    return Report(
        summary=done(decision) + ("" if told else "; nobody new to tell"),
        facts={
            "decision": decision.id, "outcome": decision.verdict.outcome, "incident": incident,
            "retrain": ended.id if ended else None, "mails": mails,
        },
    )  # fmt: skip


def _newest(site: Site) -> Decision | None:
    files = site.layout.decisions.glob("*/decision.json")
    found = [from_json(Decision, path.read_text(encoding="utf-8")) for path in files]
    return max(found, key=lambda decision: decision.at_s, default=None)


def _end(
    connection: sa.Connection, project: str, decision: Decision, now_s: float
) -> Retrain | None:
    """End the retrain in flight, if the decision or this very run is its end."""
    flying = retrains.in_flight(connection, project)
    if flying is None:
        return None
    newer = decision.at_s >= flying.requested_s
    if not newer and flying.state != "running":
        return None  # it waits in a queue: this run was another one
    # A run that came to no decision of its own, because its candidate was decided before.
    outcome = decision.verdict.outcome if newer else "failed"
    retrains.end(connection, flying.id, outcome=outcome, now_s=now_s)
    return flying if newer else None


def _tell(
    connection: sa.Connection, project: str, incident: str, decision: Decision, now_s: float
) -> bool:
    """Note the mail of a decision as due; False if the incident is unknown or was told."""
    try:
        held = incidents.get(connection, project, incident)
    except UsageError:
        return False
    stage = _STAGES[decision.verdict.outcome]
    if stage in held.body.due:
        return False
    answer = f"{done(decision)[:1].upper()}{done(decision)[1:]}. {real(decision)}."
    body = replace(held.body, answer=answer, due=(*held.body.due, stage))
    incidents.save(connection, replace(held, body=body, updated_s=now_s))
    return True
