"""Put a decision on record: the ledger's row first, then the alias; once, whoever else decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlops.adapters import answered, approval
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.moves import apply, challenge, is_pending, unsound, withdraw
from mlops.adapters.precedents import looks_of
from mlops.adapters.reconcile import reconcile_held
from mlops.adapters.verdicts import standing
from mlops.adapters.versions import set_tag
from mlops.core.canonical import to_json
from mlops.errors import LedgerError, UnverifiedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.core.decision import Decision
    from mlops.core.exam import Look
    from mlops.site import Site


@dataclass(frozen=True)
class Judged:
    """A decision that nobody has recorded yet.

    Attributes:
        decision: what was decided.
        key: the ledger's idempotency key.
        approval: whether what passed waits for a person.
        looks: the earlier verdicts that this one has paid for; nothing if it judged no rows.
        keep: writes what a replay needs, and returns the decision that vouches for it; called
            before the row is appended, so that no row stands without its evidence.
    """

    decision: Decision
    key: str
    approval: Literal["auto", "required"]
    looks: tuple[Look, ...] | None
    keep: Callable[[Decision], Decision]


def record(site: Site, ledger: Ledger, judged: Judged) -> tuple[Decision, bool]:
    """Append the decision if the champion compared is still in service, and move the alias.

    What waits for a person moves nothing: it becomes `challenger`. People are told before the
    lock is let go, so that whoever decides next finds at most what a kill cut off.

    Returns:
        The decision on record, and whether it is this one: somebody may have recorded another
        under the same key before.

    Raises:
        LedgerError: if another version came into service meanwhile, or another verdict on the
            rows was recorded; nothing is.
        UnverifiedModel: if the store no longer holds what was judged; the move is withdrawn.
        Unavailable: if MLflow does not answer.
    """
    decision, key = judged.decision, judged.key
    if judged.approval == "required" and decision.verdict.outcome == "promote":
        decision = replace(decision, approval="pending")
    before = decision.champion.version if decision.champion else None
    with ledger.exclusive():
        reconcile_held(site, decision.project, ledger)
        new = ledger.find("decided", key) is None and ledger.in_service() == before
        if new and judged.looks not in (None, looks_of(ledger.entries())):
            raise LedgerError(
                "another verdict was recorded while the candidate was judged, and its look is not "
                "paid for; run again: mlops promote"
            )
        if new:
            decision = judged.keep(decision)
            if decision.approval == "pending":
                # Before the row: an answer left from an earlier decision must not meet this one.
                version = decision.candidate.version
                set_tag(site, decision.project, version, approval.TAG, "waiting")
        row = _row(decision, key)
        entry = ledger.append(row, champion=before)
        if entry == ledger.last_move() and is_pending(ledger, entry):
            # Judging took minutes: the bytes in the store are hashed again before they serve.
            wrong = unsound(site, decision.project, str(entry.to_version))
            if wrong:
                withdraw(site, decision.project, ledger, entry, wrong)
                answered.tell_withdrawn(site, ledger, standing(ledger.entries(), entry))
                raise UnverifiedModel(wrong)
            apply(site, decision.project, ledger, entry)
        challenge(site, decision.project, ledger)
        made = standing(ledger.entries(), entry)
        if new:
            answered.publish(site, ledger, made)
    return made, entry.body == row.body


def _row(decision: Decision, key: str) -> Row:
    return Row(
        kind="decided",
        key=key,
        at_s=decision.at_s,
        actor=decision.actor,
        from_version=decision.champion.version if decision.champion else None,
        to_version=decision.in_service,
        body=to_json(decision),
    )


def recorded(ledger: Ledger, key: str) -> Decision | None:
    """Return the decision on record under a key, as it stands, if there is one."""
    entry = ledger.find("decided", key)
    return None if entry is None else standing(ledger.entries(), entry)
