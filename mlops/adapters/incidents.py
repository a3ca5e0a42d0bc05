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

_LAST_CLOSED = 50  # one that labels close may end before the one closed before it, by some windows
_SERVING = 4  # severity of what the server reports: it may be all of the predictions, or one model
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
    """Write what changed of an incident; when one of the server's ends, the server alone says."""
    shown = incident.body.windows[-_MOST_WINDOWS:]
    values = _values(replace(incident, body=replace(incident.body, windows=shown)))
    if incident.kind == "serving":
        values = {"body": values["body"]}
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


def every(connection: sa.Connection, project: str) -> tuple[Incident, ...]:
    """Return every incident of a project, oldest first."""
    query = sa.select(incidents).where(incidents.c.project == project)
    return tuple(map(_incident, connection.execute(query.order_by(incidents.c.opened_s))))


def drift_ended(connection: sa.Connection, project: str, version: str | None = None) -> int:
    """Return where in the log the last drift incident, of a version, closed; 0 for nowhere yet.

    However many incidents of other kinds came since: what it closed must not be found again.
    """
    mine = (incidents.c.project == project) & (incidents.c.kind == "drift")
    if version is not None:
        mine &= incidents.c.version == version
    query = (
        sa.select(incidents.c.body)
        .where(mine & (incidents.c.state == "resolved"))
        .order_by(incidents.c.resolved_s.desc())
        .limit(_LAST_CLOSED)
    )
    bodies = connection.execute(query).scalars()
    return max((int(json.loads(body).get("resolved_seq", 0)) for body in bodies), default=0)


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
    if row.kind == "serving":
        body = _of_server(body, row.state)
    columns = tuple(
        ColumnChange(**{**column, "trail": tuple(column.get("trail", ()))})
        for column in body.pop("columns", ())
    )
    timeline = tuple(Moment(**moment) for moment in body.pop("timeline", ()))
    off = body.pop("error_estimate", None)
    lists = {name: tuple(value) for name, value in body.items() if isinstance(value, list)}
    findings = Findings(
        **{**body, **lists, "columns": columns, "timeline": timeline},
        error_estimate=ErrorEstimate(**off) if off else None,
    )
    return Incident(**values, body=findings)


def _of_server(body: dict[str, Any], state: str) -> dict[str, Any]:
    """Complete what the server wrote: a reason, and which mail is due.

    Rows of before these mails name none: one that is open is told, one that is over is not.
    """
    reason = str(body.pop("reason", ""))
    due = body.pop("due", ["needs you"] if state == "open" else [])
    if state == "resolved" and due and "resolved" not in due:
        due = [*due, "resolved"]
    return {"triage": "quality", "severity": _SERVING, "advice": reason, **body, "due": due}
