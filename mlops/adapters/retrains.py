"""Retrains in SQL: asked for once, started once, ended once, and never in flight for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlops.adapters.sql.tables import retrains
from mlops.core.trigger import UNPROMPTED, told

if TYPE_CHECKING:
    from typing import Literal

    State = Literal["requested", "running", "ended"]

_MONTH_S = 30 * 86400.0


@dataclass(frozen=True)
class Retrain:
    """One retrain that was asked for."""

    id: str
    project: str
    incident: str | None
    reason: str
    state: State
    requested_s: float
    ended_s: float | None
    outcome: str | None
    started_s: float | None = None


def request(
    connection: sa.Connection, project: str, *, reason: str, incident: str | None, now_s: float
) -> Retrain:
    """Record that a retrain is asked for.

    Call it inside a transaction that has taken `windows.serialise` and seen none in flight.
    """
    count = connection.scalar(
        sa.select(sa.func.count()).select_from(retrains).where(retrains.c.project == project)
    )
    made = Retrain(
        f"{project}-retrain-{int(count or 0) + 1}", project, incident, reason[:400],
        "requested", now_s, None, None,
    )  # fmt: skip
    connection.execute(retrains.insert().values(vars(made)))
    return made


def start(connection: sa.Connection, retrain: str, *, now_s: float) -> bool:
    """Mark a retrain as running; False if it already ran, so that an event twice is one run."""
    mine = (retrains.c.id == retrain) & (retrains.c.state == "requested")
    values = {"state": "running", "started_s": now_s}
    return bool(connection.execute(retrains.update().where(mine).values(values)).rowcount)


def end(connection: sa.Connection, retrain: str, *, outcome: str, now_s: float) -> bool:
    """Record how a retrain ended; False if that was recorded before.

    Args:
        connection: inside a transaction.
        retrain: its id.
        outcome: promote, reject, inconclusive or failed.
        now_s: seconds since 1970.
    """
    mine = (retrains.c.id == retrain) & (retrains.c.state != "ended")
    values = {"state": "ended", "outcome": outcome, "ended_s": now_s}
    return bool(connection.execute(retrains.update().where(mine).values(values)).rowcount)


def expire(connection: sa.Connection, project: str, *, now_s: float, max_hours: float) -> int:
    """End as failed what has run too long, so that it does not block the next; return how many.

    Args:
        connection: inside a transaction.
        project: whose retrains.
        now_s: seconds since 1970.
        max_hours: since it started; the wait in a queue does not count. One that was never
            started may wait as long.
    """
    since_s = sa.func.coalesce(retrains.c.started_s, retrains.c.requested_s)
    dead = (
        (retrains.c.project == project)
        & (retrains.c.state != "ended")
        & (since_s < now_s - max_hours * 3600.0)
    )
    values = {"state": "ended", "outcome": "failed", "ended_s": now_s}
    return connection.execute(retrains.update().where(dead).values(values)).rowcount


def in_flight(connection: sa.Connection, project: str) -> Retrain | None:
    """Return the retrain that is requested or running; call `expire` first."""
    mine = (retrains.c.project == project) & (retrains.c.state != "ended")
    query = sa.select(retrains).where(mine).order_by(retrains.c.requested_s.desc()).limit(1)
    return _retrain(connection.execute(query).first())


def running(connection: sa.Connection, project: str) -> Retrain | None:
    """Return the retrain that runs now, never one that only waits; the newest if there are more."""
    mine = (retrains.c.project == project) & (retrains.c.state == "running")
    query = sa.select(retrains).where(mine).order_by(retrains.c.requested_s.desc()).limit(1)
    return _retrain(connection.execute(query).first())


def last(connection: sa.Connection, project: str, *, automatic: bool = False) -> Retrain | None:
    """Return the retrain that was asked for last.

    Args:
        connection: an open transaction.
        project: whose retrains.
        automatic: only those that an incident or another cause asked for, not a person.
    """
    mine = retrains.c.project == project
    if automatic:
        asked = [retrains.c.reason.startswith(told(cause, "")) for cause in UNPROMPTED]
        mine &= sa.or_(retrains.c.incident.is_not(None), *asked)
    query = sa.select(retrains).where(mine).order_by(retrains.c.requested_s.desc()).limit(1)
    return _retrain(connection.execute(query).first())


def of_incident(connection: sa.Connection, project: str, incident: str) -> tuple[Retrain, ...]:
    """Return the retrains that an incident asked for, oldest first."""
    mine = (retrains.c.project == project) & (retrains.c.incident == incident)
    rows = connection.execute(sa.select(retrains).where(mine).order_by(retrains.c.requested_s))
    return tuple(found for row in rows if (found := _retrain(row)) is not None)


def around(connection: sa.Connection, project: str, *, at_s: float) -> Retrain | None:
    """Return the retrain that was in flight at a time; the newest if there are more."""
    mine = (retrains.c.project == project) & (retrains.c.requested_s <= at_s)
    mine &= retrains.c.ended_s.is_(None) | (retrains.c.ended_s >= at_s)
    query = sa.select(retrains).where(mine).order_by(retrains.c.requested_s.desc()).limit(1)
    return _retrain(connection.execute(query).first())


def count_30_days(connection: sa.Connection, project: str, *, now_s: float) -> int:
    """Count the retrains asked for in the last thirty days."""
    mine = (retrains.c.project == project) & (retrains.c.requested_s > now_s - _MONTH_S)
    return int(connection.scalar(sa.select(sa.func.count()).select_from(retrains).where(mine)) or 0)


def minutes_30_days(connection: sa.Connection, project: str, *, now_s: float) -> float:
    """Return the minutes of machine time that the retrains of the last thirty days took."""
    mine = (retrains.c.project == project) & (retrains.c.started_s > now_s - _MONTH_S)
    took = sa.func.coalesce(retrains.c.ended_s, now_s) - retrains.c.started_s
    return float(connection.scalar(sa.select(sa.func.sum(took)).where(mine)) or 0.0) / 60.0


def _retrain(row: sa.Row[Any] | None) -> Retrain | None:
    if row is None:
        return None
    return Retrain(**{name: getattr(row, name) for name in Retrain.__dataclass_fields__})
