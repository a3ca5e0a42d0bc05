"""The ledger as people read it: who put which version in service, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import approval
from mlops.adapters.ledger import MOVES, Entry, Ledger
from mlops.adapters.moves import Note
from mlops.adapters.registry import Registration
from mlops.adapters.sql.engine import database
from mlops.adapters.verdicts import standing, standings
from mlops.core import wording
from mlops.core.canonical import from_json

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.core.decision import Decision
    from mlops.site import Site


@dataclass(frozen=True)
class Moment:
    """One line of history.

    Attributes:
        number: of the ledger's row.
        at_s: when, seconds since 1970.
        kind: of the ledger's rows, all but `applied`.
        actor: who.
        version: the version that it is about; nothing if the alias was removed.
        before: the version in service before; nothing if the row is not about that.
        after: the version in service after; likewise.
        outcome: of a decision: `promote`, `reject`, `inconclusive`; else empty.
        decision: a decision's id; else empty.
        why: in a sentence.
    """

    number: int
    at_s: float
    kind: str
    actor: str
    version: str | None
    before: str | None
    after: str | None
    outcome: str
    decision: str
    why: str


def history(site: Site, project: str) -> tuple[Moment, ...]:
    """Return what happened to the project's versions, the newest first.

    Raises:
        LedgerError: if the record was changed outside this program.
        Unavailable: if the database does not answer.
    """
    with database(site) as engine:
        return moments(engine, project)


def moments(engine: sa.Engine, project: str) -> tuple[Moment, ...]:
    """Return `history` from an open database.

    Raises:
        LedgerError: if the record was changed outside this program.
    """
    ledger = Ledger(engine, project)
    ledger.verify_chain()
    entries = ledger.entries()
    shown = [e for e in entries if e.kind in (*MOVES, "registered", "declined", "shadowed")]
    return tuple(moment(entries, entry) for entry in reversed(shown))


def find_decision(site: Site, project: str, decision_id: str) -> Decision | None:
    """Return a decision by its id, from the ledger, as it stands now."""
    with database(site) as engine:
        entries = Ledger(engine, project).entries()
    return next((d for _, d in standings(entries) if d.id == decision_id), None)


def last_decision(site: Site, project: str) -> Decision | None:
    """Return the newest decision, from the ledger, as it stands now."""
    with database(site) as engine:
        entries = Ledger(engine, project).entries()
    decided = [e for e in entries if e.kind == "decided"]
    return standing(entries, decided[-1]) if decided else None


def moment(entries: tuple[Entry, ...], entry: Entry) -> Moment:
    """Return a row of the ledger as people read it.

    Args:
        entries: the project's, for the answers that decisions got since.
        entry: any of them but `applied`.
    """
    outcome, decision_id, version = "", "", entry.to_version
    before, after = entry.from_version, entry.to_version
    if entry.kind == "decided":
        decision = standing(entries, entry)
        outcome, decision_id = decision.verdict.outcome, decision.id
        version, why = decision.candidate.version, wording.summary(decision)
    elif entry.kind == "registered":
        known = from_json(Registration, entry.body)
        why = f"registered version {version}, {wording.trained(known.reason)}"
    elif entry.kind in ("approved", "declined"):
        answer = from_json(approval.Answer, entry.body)
        decision_id, version, why = answer.decision, answer.version, answer.words
    else:
        why = from_json(Note, entry.body).words
    if entry.kind == "shadowed":
        version, before, after = version or before, None, None
    return Moment(
        entry.number, entry.at_s, entry.kind, entry.actor, version, before, after, outcome,
        decision_id, why,
    )  # fmt: skip
