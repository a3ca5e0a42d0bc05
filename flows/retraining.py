"""The record of a retrain, kept by the flow that runs it: started once, always ended."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.adapters import retrains
from mlops.adapters.asking import ask
from mlops.adapters.sql.engine import open_database
from mlops.core.trigger import automatic

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from flows.project import Project
    from mlops.core.trigger import Answer


def begin(project: Project, *, reason: str, incident: str | None) -> str:
    """Mark the retrain that was asked for as running, or record one that a person started.

    Returns:
        The retrain's id; empty if the event of an incident, or of another cause, came again
        after its retrain had ended: such a run finds nothing to do, and must not count against the
        trigger's budget.
    """
    now_s = datetime.now(UTC).timestamp()
    with _transaction(project) as connection:
        hours = project.params.trigger.max_hours
        retrains.expire(connection, project.name, now_s=now_s, max_hours=hours)
        asked = retrains.in_flight(connection, project.name)
        if asked is None and (incident or automatic(reason)):
            return ""
        if asked is None:
            asked = retrains.request(
                connection, project.name, reason=reason, incident=None, now_s=now_s
            )
        retrains.start(connection, asked.id, now_s=now_s)
        return asked.id


def ask_by_schedule(project: Project) -> Answer:
    """Ask the trigger for a retrain because it is time; granted, `begin` finds it recorded."""
    now_s = datetime.now(UTC).timestamp()
    with _transaction(project) as connection:
        asked = ask(connection, project.name, "schedule", project.params.trigger, now_s=now_s)
    return asked.answer


def finish(project: Project, retrain: str, outcome: str) -> bool:
    """Record how a retrain ended; False if `announce` did so before.

    Args:
        project: the root.
        retrain: its id, as `begin` returned it.
        outcome: promote, reject, inconclusive or failed.
    """
    now_s = datetime.now(UTC).timestamp()
    with _transaction(project) as connection:
        return retrains.end(connection, retrain, outcome=outcome, now_s=now_s)


def release(project: Project) -> bool:
    """End as failed what a killed run left running; False if there is nothing.

    Runs of `train` are one at a time, so what runs was the killed one's. A retrain that waits to
    be started is another's.
    """
    now_s = datetime.now(UTC).timestamp()
    with _transaction(project) as connection:
        left = retrains.running(connection, project.name)
        if left is None:
            return False
        return retrains.end(connection, left.id, outcome="failed", now_s=now_s)


@contextmanager
def _transaction(project: Project) -> Iterator[sa.Connection]:
    engine = open_database(project.settings.database(project.layout))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
