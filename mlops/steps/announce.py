"""Step `announce`: end the retrain that a decision belongs to and tell its incident's thread."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.adapters import alerts, retrains, windows
from mlops.adapters.alerts import News
from mlops.adapters.handing import try_hand_over
from mlops.adapters.history import last_decision
from mlops.adapters.sql.engine import database
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.retrains import Retrain
    from mlops.core.decision import Decision
    from mlops.site import Site

_MOST = 300  # characters of a failure in a mail


class AnnounceParams(View):
    """What announcing may see."""

    project: ProjectSection


def announce(params: AnnounceParams, site: Site) -> Report:
    """Record how the retrain in flight ended, by decision or by failure, and mail its incident.

    The option `failure=WORDS` says that the run failed and why. Run again, it changes nothing: a
    retrain ends once, a stage is mailed once.
    """
    name, now_s = params.project.name, site.now.timestamp()
    decision, failure = last_decision(site, name), site.option("failure")
    if decision is None and not failure:
        return Report("nothing was decided yet")
    with database(site) as engine:
        with engine.begin() as connection:
            windows.serialise(connection)
            ended = _end(connection, name, decision, now_s)
            said = [_decided(decision, ended)] if decision else []
            said += [_failed(ended, failure)] if ended and ended.outcome == "failed" else []
            told = [alerts.note(connection, name, news, now_s) for news in said]
        mails, trouble = try_hand_over(site, engine, name)
    words = said[-1].words if said else "no retrain is in flight"
    return Report(
        summary="; ".join((words, *(() if any(told) else ("nobody new to tell",)), *trouble)),
        facts={
            "decision": decision.id if decision else None,
            "outcome": decision.verdict.outcome if decision else None,
            "incident": said[-1].incident if said else None,
            "retrain": ended.id if ended else None, "mails": mails,
        },
    )  # fmt: skip


def _end(
    connection: sa.Connection, project: str, decision: Decision | None, now_s: float
) -> Retrain | None:
    """End the retrain in flight, if the decision or this very run is its end; return it, ended."""
    flying = retrains.in_flight(connection, project)
    if flying is None:
        return None
    newer = decision is not None and decision.at_s >= flying.requested_s
    if not newer and flying.state != "running":
        return None  # it waits in a queue: this run was another one
    # Failed, too, is a run that came to no decision of its own.
    outcome = decision.verdict.outcome if decision and newer else "failed"
    retrains.end(connection, flying.id, outcome=outcome, now_s=now_s)
    return replace(flying, state="ended", ended_s=now_s, outcome=outcome)


def _decided(decision: Decision, ended: Retrain | None) -> News:
    its = ended.incident if ended and ended.outcome != "failed" else None
    return alerts.news_of(decision, decision.incident or its)


def _failed(ended: Retrain, failure: str) -> News:
    why = failure or "it came to no decision of its own: its candidate was decided before"
    words = f"retrain {ended.id} failed: {' '.join(why.split()).rstrip('.')[:_MOST]}"
    return News(ended.incident, "needs you", words, f"{words[:1].upper()}{words[1:]}.")
