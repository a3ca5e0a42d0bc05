"""Put a decision on record: the ledger's row first, then the alias; once, whoever else decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.reconcile import apply, is_pending, reconcile_held
from mlops.core.canonical import from_json, to_json
from mlops.core.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.site import Site


@dataclass(frozen=True)
class Judged:
    """A decision that nobody has recorded yet.

    Attributes:
        decision: what was decided.
        key: the ledger's idempotency key.
        keep: writes what a replay needs; called before the row is appended, so that no row
            stands without its evidence.
    """

    decision: Decision
    key: str
    keep: Callable[[Decision], None]


def record(site: Site, ledger: Ledger, judged: Judged) -> Decision:
    """Append the decision if the champion compared is still in service, and move the alias.

    Returns:
        The decision on record: another one if somebody recorded the same key before.

    Raises:
        LedgerError: if another version came into service meanwhile; nothing is recorded.
        Unavailable: if MLflow does not answer.
    """
    decision, key = judged.decision, judged.key
    before = decision.champion.version if decision.champion else None
    row = Row(
        kind="decided",
        key=key,
        at_s=decision.at_s,
        actor=decision.actor,
        from_version=before,
        to_version=decision.in_service,
        body=to_json(decision),
    )
    with ledger.exclusive():
        reconcile_held(site, decision.project, ledger)
        if ledger.find("decided", key) is None and ledger.in_service() == before:
            judged.keep(decision)
        entry = ledger.append(row, champion=before)
        if entry == ledger.last_move() and is_pending(ledger, entry):
            apply(site, decision.project, ledger, entry)
    return from_json(Decision, entry.body)


def standing(ledger: Ledger, version: str) -> Decision | None:
    """Return the newest decision about a version, if there is one."""
    made = [from_json(Decision, e.body) for e in ledger.entries() if e.kind == "decided"]
    return next((d for d in reversed(made) if d.candidate.version == version), None)
