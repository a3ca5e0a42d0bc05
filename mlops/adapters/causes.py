"""Why a version is what it is: what came before it, what it was compared with, when it served."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters import incidents, retrains
from mlops.adapters.cohort import SHARD_TIME
from mlops.adapters.history import Moment, moment
from mlops.adapters.ledger import Entry, Ledger
from mlops.adapters.mail import outbox
from mlops.adapters.moves import effective
from mlops.adapters.registry import Registration
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import labels
from mlops.adapters.verdicts import standings
from mlops.core.canonical import from_json
from mlops.errors import RegistryError, Unknown

if TYPE_CHECKING:
    from mlops.adapters.incidents import Incident
    from mlops.adapters.mail.outbox import Mail
    from mlops.adapters.retrains import Retrain
    from mlops.core.decision import Decision
    from mlops.site import Site


@dataclass(frozen=True)
class Period:
    """A time in which the version was in service.

    Attributes:
        begun: what put it there.
        ended: what replaced it; nothing if it is in service still.
    """

    begun: Moment
    ended: Moment | None


@dataclass(frozen=True)
class Chain:
    """The causal chain of a version.

    Attributes:
        project: registered-model name.
        version: its number.
        registration: why it was trained, from which commit, data and run.
        registered_s: when, seconds since 1970.
        arrived: labelled predictions collected since the version before, which it may learn from.
        incident: the incident behind it, if it is known.
        mails: what its thread was told.
        retrain: the retrain that it came from, if one was asked for.
        decisions: every decision about it, oldest first.
        periods: when it was in service, oldest first.
        missing: what is not recorded, one sentence each.
    """

    project: str
    version: str
    registration: Registration
    registered_s: float
    arrived: int
    incident: Incident | None
    mails: tuple[Mail, ...]
    retrain: Retrain | None
    decisions: tuple[Decision, ...]
    periods: tuple[Period, ...]
    missing: tuple[str, ...]


def why(site: Site, project: str, version: str) -> Chain:
    """Gather what led to a version, from SQL alone.

    Raises:
        RegistryError: if the ledger has no such version.
        LedgerError: if the record was changed outside this program.
        Unavailable: if the database does not answer.
    """
    with database(site) as engine:
        ledger = Ledger(engine, project)
        ledger.verify_chain()
        entries = ledger.entries()
        row = ledger.registered(version)
        if row is None:
            msg = f"{project}: version {version[:40]!r} was never registered; see: mlops history"
            raise RegistryError(msg)
        known = from_json(Registration, row.body)
        made = (d for _, d in standings(entries))
        decisions = tuple(d for d in made if d.candidate.version == version)
        at_s = decisions[0].at_s if decisions else row.at_s
        with engine.connect() as connection:
            incident, missing = _incident(connection, project, known.incident)
            return Chain(
                project, version, known, row.at_s,
                arrived=_arrived(connection, project, _before(entries, row), row.at_s),
                incident=incident,
                mails=outbox.thread(connection, project, known.incident) if known.incident else (),
                retrain=retrains.around(connection, project, at_s=at_s),
                decisions=decisions, periods=_periods(entries, version), missing=missing,
            )  # fmt: skip


def _incident(
    connection: sa.Connection, project: str, name: str
) -> tuple[Incident | None, tuple[str, ...]]:
    if not name:
        return None, ()
    try:
        return incidents.get(connection, project, name), ()
    except Unknown:
        return None, (f"incident {name} is not in the database",)


def _before(entries: tuple[Entry, ...], row: Entry) -> float:
    """Return when the version before was registered; 0 for the first."""
    earlier = [e.at_s for e in entries if e.kind == "registered" and e.number < row.number]
    return earlier[-1] if earlier else 0.0


def _arrived(connection: sa.Connection, project: str, after_s: float, until_s: float) -> int:
    """Count what shards of a time hold: a label that came after the last of them is not in it."""
    first, last = (_shard_time(at_s) for at_s in (after_s, until_s))
    query = sa.select(sa.func.count(sa.distinct(labels.c.prediction_id))).where(
        labels.c.project == project, labels.c.collected_in > first, labels.c.collected_in <= last
    )
    return int(connection.scalar(query) or 0)


def _shard_time(at_s: float) -> str:
    """Return what sorts after the name of every shard that was collected until then."""
    return datetime.fromtimestamp(at_s, UTC).strftime(SHARD_TIME) + "~"


def _periods(entries: tuple[Entry, ...], version: str) -> tuple[Period, ...]:
    found: list[Period] = []
    begun: Moment | None = None
    for entry in effective(entries):
        if begun is not None:
            found.append(Period(begun, moment(entries, entry)))
        begun = moment(entries, entry) if entry.to_version == version else None
    return (*found, Period(begun, None)) if begun else tuple(found)
