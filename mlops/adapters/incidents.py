"""Incidents in SQL: opened once, updated by later windows, resolved when cleared."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from mlops.adapters.sql.tables import incidents, silences
from mlops.core.alert import ColumnChange
from mlops.errors import UsageError

if TYPE_CHECKING:
    from mlops.core.alert import Stage

Kind = Literal["drift", "quality", "serving"]
State = Literal["open", "resolved"]
_MOST_MOMENTS = 60
_MOST_WINDOWS = 200  # remembered by id; an incident that never ends must not grow for ever


@dataclass(frozen=True)
class Moment:
    """One line of an incident's timeline: when, seconds since 1970, and what."""

    at_s: float
    words: str


@dataclass(frozen=True)
class Findings:
    """What is known of an incident.

    Attributes:
        windows: its alarming windows, oldest first.
        since_seq: first prediction of its first window.
        opened_seq: last prediction of the window that opened it.
        resolved_seq: last prediction of the window that resolved it.
        columns: the columns that moved most in the worst window, the strongest first.
        breaks: failed quality checks of the newest window.
        severity: 1 to 5, the worst so far.
        labelled: labelled predictions that measure.
        accuracy: measured on them.
        reference_accuracy: accuracy on the reference.
        triage: `quality`, `costly`, `harmless` or `unclear`.
        advice: the triage in words.
        trigger: why the trigger last answered as it did, in one word.
        answer: that answer in words.
        wanted: random labels that would settle it; 0 when it is settled.
        training: labels, however chosen, that the trigger waits for; 0 when it waits for none.
        decides: the setting that asks for the larger of the two, with its value.
        escalated: an estimate says that it is costly before labels do.
        estimate: accuracy estimated without labels: value, low, high; empty for none.
        reference_mix: reference labels by class.
        shifts: kinds of shift with what supports them, in words.
        timeline: what happened, oldest first.
        due: mails that are to be sent, in order.
        notified: mails that were handed to the outbox, or that another incident's stood for.
        apart: it was told without a thread of its own: in the digest, or by another incident.
        mailed_s: when it was last mailed, seconds since 1970.
        regression: whether its version predicts numbers.
        gradual: why several windows opened it of which none did alone; empty if one did.
    """

    windows: tuple[str, ...] = ()
    since_seq: int = 0
    opened_seq: int = 0
    resolved_seq: int = 0
    columns: tuple[ColumnChange, ...] = ()
    breaks: tuple[str, ...] = ()
    severity: int = 1
    labelled: int = 0
    accuracy: float | None = None
    reference_accuracy: float | None = None
    triage: str = "unclear"
    advice: str = ""
    trigger: str = ""
    answer: str = ""
    wanted: int = 0
    training: int = 0
    decides: str = ""
    escalated: bool = False
    estimate: tuple[float, ...] = ()
    reference_mix: tuple[int, ...] = ()
    shifts: tuple[str, ...] = ()
    timeline: tuple[Moment, ...] = ()
    due: tuple[Stage, ...] = ()
    notified: tuple[Stage, ...] = ()
    apart: bool = False
    mailed_s: float = 0.0
    regression: bool = False
    gradual: str = ""

    def to_notify(self) -> tuple[Stage, ...]:
        """Return the mails that are due and not handed over yet."""
        return self.due[len(self.notified) :]

    @property
    def labels_wanted(self) -> int:
        """Labels that decide when a retrain may start: the larger need; 0 where none waits."""
        waits = self.triage == "unclear" or (self.triage, self.trigger) == ("costly", "labels")
        return max(self.wanted, self.training) if waits else 0

    @property
    def threaded(self) -> bool:
        """Whether it has a thread of its own already."""
        return bool(self.notified) and not self.apart

    def told(self, at_s: float, words: str) -> Findings:
        """Return the findings with one more line of the timeline; the same line twice is one."""
        if self.timeline and self.timeline[-1].words == words:
            return self
        first, rest = self.timeline[:1], self.timeline[1:]
        return replace(self, timeline=(*first, *rest[2 - _MOST_MOMENTS :], Moment(at_s, words)))


@dataclass(frozen=True)
class Incident:
    """One drift, quality or serving alarm, from detection to resolution."""

    id: str
    project: str
    kind: Kind
    cause: str
    version: str
    state: State
    opened_s: float
    updated_s: float
    resolved_s: float | None
    body: Findings


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
    """Return what every drift incident was worth when it was last looked at, by its id."""
    mine = (incidents.c.project == project) & (incidents.c.kind == "drift")
    rows = connection.execute(sa.select(incidents.c.id, incidents.c.body).where(mine))
    return {row.id: str(json.loads(row.body)["triage"]) for row in rows}


def drift_ended(connection: sa.Connection, project: str) -> int:
    """Return where in the log the last drift incident was closed; 0 for nowhere yet."""
    closed = [i for i in recent(connection, project) if i.kind == "drift"]
    return max((i.body.resolved_seq for i in closed), default=0)


def get(connection: sa.Connection, project: str, incident: str) -> Incident:
    """Return one incident.

    Raises:
        UsageError: if there is none of that id.
    """
    mine = (incidents.c.project == project) & (incidents.c.id == incident)
    row = connection.execute(sa.select(incidents).where(mine)).first()
    if row is None:
        msg = f"incident {incident}: unknown in project {project}; see: mlops incidents"
        raise UsageError(msg)
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
    lists = {name: tuple(value) for name, value in body.items() if isinstance(value, list)}
    findings = Findings(**{**body, **lists, "columns": columns, "timeline": timeline})
    return Incident(**values, body=findings)
