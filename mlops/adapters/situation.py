"""What is so right now, read from SQL, the serving pointer and one HTTP look at each part."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import sqlalchemy as sa

from mlops.adapters import approval, beside, incidents, parts, report_states, retrains, windows
from mlops.adapters.files import read_json
from mlops.adapters.ledger import MOVES, Ledger
from mlops.adapters.mail import outbox
from mlops.adapters.realised import realised
from mlops.adapters.sql import tables
from mlops.adapters.sql.engine import open_database
from mlops.errors import DataError

if TYPE_CHECKING:
    from mlops.core.realised import Realised
    from mlops.layout import Layout
    from mlops.params.monitoring import MonitoringSection
    from mlops.settings import Settings

_PROBE_S = 2.0
_WINDOWS = 5


@dataclass(frozen=True)
class Service:
    """The version in service.

    Attributes:
        version: the registry's; empty if none is.
        since_s: when this machine began to serve it, seconds since 1970.
        decision: id of what put it there; empty if a person or nothing did.
        why: in words.
    """

    version: str = ""
    since_s: float = 0.0
    decision: str = ""
    why: str = ""


@dataclass(frozen=True)
class PartSeen:
    """One part of `mlops up`, looked at now."""

    name: str
    up: bool
    state: str
    restarts: int
    url: str


@dataclass(frozen=True)
class Situation:
    """Everything that `mlops status` says.

    `champion` is the ledger's; `waiting` the version that waits for a person, `shadowed` the one
    that the alias `shadow` names; `foreign` the model from elsewhere that the settings have served
    in the champion's place; `digest` the manifest's that the ledger has of the version that was
    asked about; each is empty for none. `pages` are the windows of the last week whose page could
    not be made.
    """

    project: str
    champion: str
    waiting: str
    shadowed: str
    service: Service
    running: bool
    parts: tuple[PartSeen, ...]
    incidents: tuple[incidents.Incident, ...]
    windows: tuple[windows.Window, ...]
    alarms: Realised
    outbox: int
    retrain: retrains.Retrain | None
    canary: beside.CanarySeen | None
    shadow: beside.ShadowSeen | None
    foreign: str
    digest: str
    pages: tuple[str, ...] = ()


def look(
    layout: Layout,
    settings: Settings,
    project: str,
    monitoring: MonitoringSection,
    served: str = "",
) -> Situation:
    """Look at everything; imports neither MLflow nor Prefect, so that it takes no second.

    Args:
        layout: the project's paths.
        settings: the environment.
        project: registered-model name.
        monitoring: its budget of false alarms.
        served: the version that a server says it serves; empty for none.

    Raises:
        Unavailable: if the database does not answer.
    """
    running, seen = _parts(layout)
    engine = open_database(settings.database(layout))
    try:
        book = Ledger(engine, project)
        held, shadowed = approval.waiting(book), book.last("shadowed")
        with engine.connect() as connection:
            return Situation(
                project=project,
                champion=book.in_service() or "",
                waiting=held.version if held else "",
                shadowed=(shadowed.to_version if shadowed else None) or "",
                service=_service(connection, layout, project),
                running=running,
                parts=seen,
                incidents=incidents.find_all_open(connection, project),
                windows=windows.latest(connection, project, _WINDOWS),
                alarms=realised(connection, project, monitoring),
                outbox=len(outbox.waiting(engine, project)),
                retrain=retrains.in_flight(connection, project),
                canary=beside.canary(layout.serving / project),
                shadow=beside.shadow(connection, layout.serving / project, project),
                foreign=settings.serve_model,
                digest=_digest(book, served),
                pages=report_states.failed(connection, project, time.time()),
            )
    finally:
        engine.dispose()


def _digest(book: Ledger, version: str) -> str:
    """Return the digest that the ledger has of a version's manifest; empty if it has none."""
    row = book.registered(version) if version else None
    if row is None:
        return ""
    from mlops.adapters.registry import Registration
    from mlops.core.canonical import from_json

    return from_json(Registration, row.body).digest


def _service(connection: sa.Connection, layout: Layout, project: str) -> Service:
    """Return what the pointer says is served, with the ledger's reason for it."""
    try:
        pointer = read_json(layout.serving / project / "current.json")
        version, since_s = str(pointer["version"]), float(str(pointer["since_s"]))
    except (DataError, KeyError, ValueError):
        return Service()
    table = tables.ledger
    mine = (table.c.project == project) & (table.c.to_version == version)
    moved = mine & table.c.kind.in_(MOVES) & (table.c.kind != "withdrawn")
    # A refusal leaves the version as it was: it is not why the version came.
    moved &= table.c.from_version.is_distinct_from(table.c.to_version)
    row = connection.execute(
        sa.select(table).where(moved).order_by(table.c.number.desc()).limit(1)
    ).first()
    if row is None:
        return Service(version, since_s, why="not in the ledger; see: mlops reconcile")
    decision, why = _reason(row.kind, row.actor, row.body)
    return Service(version, since_s, decision, why)


def _reason(kind: str, actor: str, body: str) -> tuple[str, str]:
    if kind == "approved":
        from mlops.core.canonical import from_json

        answer = from_json(approval.Answer, body)
        return answer.decision, f"{answer.words}, by {actor}"
    if kind != "decided":
        return "", f"{kind} by {actor}"
    from mlops.core import wording
    from mlops.core.canonical import from_json
    from mlops.core.decision import Decision

    decision = from_json(Decision, body)
    return decision.id, wording.summary(decision)


def _parts(layout: Layout) -> tuple[bool, tuple[PartSeen, ...]]:
    """Return whether `mlops up` runs, and each part as it answers now; unknown is not up."""
    known = parts.read_parts(layout)
    if known is None:
        return False, ()
    supervisor, states = known
    running = _lives(supervisor)
    with ThreadPoolExecutor(max_workers=max(len(states), 1)) as pool:
        answers = list(pool.map(lambda state: running and _answers(state), states))
    seen = (
        PartSeen(s.name, up, s.state if running else "gone", s.restarts, s.url)
        for s, up in zip(states, answers, strict=True)
    )
    return running, tuple(seen)


def _answers(state: parts.PartState) -> bool:
    if not state.probe:
        return state.state in ("up", "done")
    try:
        httpx.get(state.probe, timeout=_PROBE_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def _lives(process: int) -> bool:
    if Path("/proc").is_dir():
        return Path(f"/proc/{process}").is_dir()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
