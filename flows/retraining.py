"""The record of a retrain, kept by the flow that runs it: started once, always ended."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.adapters import happened, retrains
from mlops.adapters.advice import with_probe
from mlops.adapters.asking import ask
from mlops.adapters.ledger import Ledger
from mlops.adapters.probing import Prober
from mlops.adapters.sql.engine import open_database
from mlops.core.trigger import automatic
from mlops.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import sqlalchemy as sa

    from flows.project import Project
    from mlops.adapters.advice import Probed
    from mlops.adapters.asking import Asked
    from mlops.site import Event


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


def ask_by_schedule(project: Project) -> Asked:
    """Ask the trigger for a retrain because it is time; granted, `begin` finds it recorded."""
    trigger, now = project.params.trigger, datetime.now(UTC)

    def ask_now(connection: sa.Connection, probed: Probed) -> Asked:
        return ask(connection, project.name, "schedule", trigger, now_s=now.timestamp(),
                   probed=probed)  # fmt: skip

    with _database(project) as engine:
        version = Ledger(engine, project.name).in_service()
        prober = None
        if version is not None and trigger.probe != "off":
            site = Site(project.layout, project.settings, now, project.layout.work / "probe")
            prober = Prober(site, engine, project.name, version, project.params.split)
        return with_probe(engine, ask_now, prober)


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


def sent(project: Project, events: Sequence[Event]) -> None:
    """Note that events were sent to Prefect; those that were not, the next run sends."""
    if any(event.id for event in events):
        with _database(project) as engine:
            happened.sent(engine, project.name, events)


@contextmanager
def _transaction(project: Project) -> Iterator[sa.Connection]:
    with _database(project) as engine, engine.begin() as connection:
        yield connection


@contextmanager
def _database(project: Project) -> Iterator[sa.Engine]:
    engine = open_database(project.settings.database(project.layout))
    try:
        yield engine
    finally:
        engine.dispose()
