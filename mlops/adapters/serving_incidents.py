"""Incidents of kind `serving`: a version that was refused, until a good one is in service.

The server writes what it found and which mail that asks for, and later only the state; whoever
hands the mails over writes the rest and never the state. So neither undoes what the other wrote.
"""

from __future__ import annotations

import json
import uuid

import sqlalchemy as sa

from mlops.adapters.sql.tables import incidents


def open_refusal(engine: sa.Engine, project: str, version: str, reason: str, *, at_s: float) -> str:
    """Record that a version was refused; one open incident per version. Returns its id."""
    return open_alarm(engine, project, f"version {version} refused", version, reason, at_s=at_s)


def open_alarm(
    engine: sa.Engine, project: str, cause: str, version: str, reason: str, *, at_s: float
) -> str:
    """Record what the server found; one open incident per cause. Returns its id."""
    mine = (incidents.c.project == project) & (incidents.c.kind == "serving")
    with engine.begin() as connection:
        known = connection.execute(
            sa.select(incidents.c.id).where(
                mine, incidents.c.cause == cause, incidents.c.state == "open"
            )
        ).scalar()
        if known is not None:
            connection.execute(
                sa.update(incidents).where(incidents.c.id == known).values(updated_s=at_s)
            )
            return str(known)
        identity = f"serving-{uuid.uuid4().hex[:12]}"
        connection.execute(sa.insert(incidents).values(
            id=identity, project=project, kind="serving", cause=cause, version=version,
            state="open", opened_s=at_s, updated_s=at_s,
            body=json.dumps({"reason": reason, "due": ["needs you"]}, sort_keys=True),
        ))  # fmt: skip
        return identity


def resolve_alarm(engine: sa.Engine, project: str, cause: str, *, at_s: float) -> int:
    """Close the open incident of a cause; return how many there were."""
    return _resolve(engine, project, incidents.c.cause == cause, at_s)


def resolve_refusals(engine: sa.Engine, project: str, *, at_s: float) -> int:
    """Close every open refusal, because the champion is in service; return how many."""
    return _resolve(engine, project, incidents.c.cause.like("version % refused"), at_s)


def _resolve(engine: sa.Engine, project: str, which: sa.ColumnElement[bool], at_s: float) -> int:
    with engine.begin() as connection:
        result = connection.execute(
            sa.update(incidents)
            .where(incidents.c.project == project, incidents.c.kind == "serving")
            .where(incidents.c.state == "open", which)
            .values(state="resolved", updated_s=at_s, resolved_s=at_s)
        )
        return int(result.rowcount)
