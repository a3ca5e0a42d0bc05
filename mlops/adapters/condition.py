"""What the ledger says of a version, in a clause, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters.chain import since_renumbered
from mlops.adapters.verdicts import newest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.adapters.ledger import Entry

_AGAIN = "mlops promote --again"


@dataclass(frozen=True)
class Condition:
    """How a version stands.

    Attributes:
        words: a clause whose subject is the version.
        remedy: what to do next, with the command.
        refused: whether the gate has never let it come near the traffic: it rejected it, has not
            judged it, or its files are not what the ledger vouches for.
    """

    words: str
    remedy: str
    refused: bool


def condition(entries: Sequence[Entry], version: str) -> Condition:
    """Return how a version stands by the newest decision about it, if there is one.

    Args:
        entries: the project's ledger.
        version: its number.
    """
    decision = newest(entries, version)
    if decision is None:
        own = since_renumbered(entries)
        if any(e.kind == "registered" and e.to_version == version for e in own):
            words, remedy = "the gate has not judged it yet", "have it judged: mlops promote"
        else:
            words, remedy = "it is not in the ledger", "look with: mlops history"
        return Condition(words, remedy, refused=True)
    outcome = decision.verdict.outcome
    if decision.approval == "withdrawn":
        words = "its stored files are not what the ledger vouches for"
        return Condition(words, f"restore them, then: {_AGAIN}", refused=True)
    if outcome == "reject":
        words = f"the gate rejected it ({decision.verdict.reasons[0]})"
        remedy = f"train another, or have it judged anew: {_AGAIN}"
        return Condition(words, remedy, refused=True)
    if outcome == "inconclusive":
        words, remedy = "its verdict is inconclusive", "once more labels came: mlops promote"
        return Condition(words, remedy, refused=False)
    words, remedy = "it passed the gate", f"to serve it again: mlops rollback --to {version}"
    return Condition(words, remedy, refused=False)
