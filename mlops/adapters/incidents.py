"""Incidents in SQL: opened once, updated by later windows, resolved when cleared."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from mlops.adapters.incident import ACCURACY, Findings, Incident, Kind, Moment, State
from mlops.adapters.sql.tables import incidents, silences
from mlops.core.alert import ColumnChange
from mlops.core.estimate import ErrorEstimate
from mlops.errors import Unknown

__all__ = ["ACCURACY", "Findings", "Incident", "Kind", "Moment", "State"]

_MOST_WINDOWS = 200  # remembered by id; an incident that never ends must not grow for ever


def open_once(connection: sa.Connection, incident: Incident) -> Incident:
    """Insert an incident, unless one of its kind is open already: then return that one.

    Call it inside a transaction that has taken `windows.serialise`.
    """
    held = find_open(connection, incident.project, incident.kind)
    if held is not None:
        return held
    connection.execute(incidents.insert().values(_values(incident)))
    return incident


def save(connection: sa.Connection, incident: Incident) -> None:
    """Write what changed of an incident."""
    shown = incident.body.windows[-_MOST_WINDOWS:]
    values = _values(replace(incident, body=replace(incident.body, windows=shown)))
    connection.execute(incidents.update().where(incidents.c.id == incident.id).values(values))


def find_open(connection: sa.Connection, project: str, kind: Kind) -> Incident | None:
    """Return the open incident of a kind, if there is one."""
    return next((i for i in find_all_open(connection, project) if i.kind == kind), None)


def find_all_open(connection: sa.Connection, project: str) -> tuple[Incident, ...]:
    """Return every open incident of a project, oldest first."""
    mine = (incidents.c.project == project) & (incidents.c.state == "open")
    query = sa.select(incidents).where(mine).order_by(incidents.c.opened_s)
    return tuple(_incident(row) for row in connection.execute(query))


def recent(connection: sa.Connection, project: str, limit: int = 50) -> tuple[Incident, ...]:
    """Return the incidents that changed last, newest first."""
    query = (
        sa.select(incidents)
        .where(incidents.c.project == project)
        .order_by(incidents.c.updated_s.desc(), incidents.c.id)
        .limit(limit)
    )
    return tuple(_incident(row) for row in connection.execute(query))


def drift_triages(connection: sa.Connection, project: str) -> dict[str, str]:
    """Return what every drift incident was worth when it was last looked at, by its id.

    One that labels showed a loss for was costly, also if accuracy is back since.
    """
    mine = (incidents.c.project == project) & (incidents.c.kind == "drift")
    rows = connection.execute(sa.select(incidents.c.id, incidents.c.body).where(mine))
    bodies = {row.id: json.loads(row.body) for row in rows}
    return {i: "costly" if b.get("loss") else str(b["triage"]) for i, b in bodies.items()}


def drift_ended(connection: sa.Connection, project: str, version: str | None = None) -> int:
    """Return where in the log the last drift incident, of a version, closed; 0 for nowhere yet."""
    mine = [i for i in recent(connection, project) if i.kind == "drift"]
    closed = [i for i in mine if version is None or i.version == version]
    return max((i.body.resolved_seq for i in closed), default=0)


def get(connection: sa.Connection, project: str, incident: str) -> Incident:
    """Return one incident.

    Raises:
        Unknown: if there is none of that id.
    """
    mine = (incidents.c.project == project) & (incidents.c.id == incident)
    row = connection.execute(sa.select(incidents).where(mine)).first()
    if row is None:
        msg = f"incident {incident}: unknown in project {project}; see: mlops incidents"
        raise Unknown(msg)
    return _incident(row)


def silence(
    connection: sa.Connection, project: str, incident: str, *, until_s: float, by: str
) -> None:
    """Hold back an incident's mails until a time."""
    connection.execute(
        silences.insert().values(
            id=uuid.uuid4().hex, project=project, incident=incident, until_s=until_s, by=by
        )
    )


def muted_until(connection: sa.Connection, project: str, incident: str) -> float:
    """Return until when an incident's mails are held back, seconds since 1970; 0 for never."""
    mine = (silences.c.project == project) & (silences.c.incident == incident)
    return float(connection.scalar(sa.select(sa.func.max(silences.c.until_s)).where(mine)) or 0.0)


def silenced(connection: sa.Connection, project: str, incident: str, *, now_s: float) -> bool:
    """Say whether somebody holds back an incident's mails now."""
    return muted_until(connection, project, incident) > now_s


def _values(incident: Incident) -> dict[str, object]:
    body = json.dumps(asdict(incident.body), sort_keys=True, allow_nan=False)
    return {**vars(incident), "cause": incident.cause[:200], "body": body}


def _incident(row: sa.Row[Any]) -> Incident:
    fields = [name for name in Incident.__dataclass_fields__ if name != "body"]
    values = {name: getattr(row, name) for name in fields}
    body = json.loads(row.body)
    if row.kind == "serving":  # written by the server, which has a reason and nothing else
        return Incident(**values, body=Findings(triage="quality", advice=str(body.get("reason"))))
    columns = tuple(
        ColumnChange(**{**column, "trail": tuple(column.get("trail", ()))})
        for column in body.pop("columns")
    )
    timeline = tuple(Moment(**moment) for moment in body.pop("timeline", ()))
    off = body.pop("error_estimate", None)
    lists = {name: tuple(value) for name, value in body.items() if isinstance(value, list)}
    findings = Findings(
        **{**body, **lists, "columns": columns, "timeline": timeline},
        error_estimate=ErrorEstimate(**off) if off else None,
    )
    return Incident(**values, body=findings)
