"""What happened to an incident, for those who react: kept in its row until it was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.adapters import incidents, windows
from mlops.site import Event

if TYPE_CHECKING:
    from collections.abc import Collection

    import sqlalchemy as sa

    from mlops.adapters.incidents import Incident

_LOOKED = 200  # incidents that changed last; more than a run leaves


def unsent(connection: sa.Connection, project: str) -> tuple[Event, ...]:
    """Return events that were recorded and not sent: of a run that failed or was killed."""
    found = incidents.recent(connection, project, _LOOKED)
    return tuple(_event(held, mark) for held in reversed(found) for mark in held.body.unsent)


def sent(engine: sa.Engine, project: str, events: Collection[Event]) -> None:
    """Note that events were sent; until then each run gives them out again, with the same id."""
    ids = {event.id for event in events if event.id}
    if not ids:
        return
    with engine.begin() as connection:
        windows.serialise(connection)
        for held in incidents.recent(connection, project, _LOOKED):
            left = tuple(mark for mark in held.body.unsent if _event(held, mark).id not in ids)
            if left != held.body.unsent:
                incidents.save(connection, replace(held, body=replace(held.body, unsent=left)))


def _event(held: Incident, mark: str) -> Event:
    name, _, cause = mark.partition(" ")
    return event(name, replace(held, cause=cause))


def join(
    held: Incident, breaks: tuple[str, ...], now_s: float
) -> tuple[Incident, tuple[Event, ...]]:
    """Note what breaks for the first time in an open quality incident: a cause of its own."""
    body, new = held.body.joined(breaks, now_s)
    for words in new:
        body = body.owing("quality.broken", words)
    held = replace(held, body=body)
    return held, tuple(event("quality.broken", replace(held, cause=words)) for words in new)


def event(name: str, incident: Incident) -> Event:
    """Return what happened to an incident, for those who react."""
    payload: dict[str, str | int | float | bool | None] = {
        "project": incident.project, "incident": incident.id, "kind": incident.kind,
        "cause": incident.cause, "version": incident.version, "severity": incident.body.severity,
        "windows": len(incident.body.windows),
    }  # fmt: skip
    return Event(name, incident.id, payload, f"{incident.id} {name} {incident.cause}")
