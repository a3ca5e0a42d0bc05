"""What happened to an incident, for those who react."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.site import Event

if TYPE_CHECKING:
    from mlops.adapters.incidents import Incident


def join(
    held: Incident, breaks: tuple[str, ...], now_s: float
) -> tuple[Incident, tuple[Event, ...]]:
    """Note what breaks for the first time in an open quality incident: a cause of its own."""
    body, new = held.body.joined(breaks, now_s)
    held = replace(held, body=body)
    return held, tuple(event("quality.broken", replace(held, cause=words)) for words in new)


def event(name: str, incident: Incident) -> Event:
    """Return what happened to an incident, for those who react."""
    payload: dict[str, str | int | float | bool | None] = {
        "project": incident.project, "incident": incident.id, "kind": incident.kind,
        "cause": incident.cause, "version": incident.version, "severity": incident.body.severity,
        "windows": len(incident.body.windows),
    }  # fmt: skip
    return Event(name, incident.id, payload)
