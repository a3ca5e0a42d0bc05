"""A person's answer to a decision that waits for one: every way leads to the same ledger row.

`mlops approve`, the tag `mlops.approve` in MLflow, moving the alias `champion` there and resuming
the paused Prefect run all append `approved`, keyed by the hash of the decision's row, so that a
decision is answered once. A yes counts only while the champion that was compared is in service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops.adapters.condition import condition
from mlops.adapters.ledger import Entry, Ledger, Row
from mlops.adapters.verdicts import newest_decided, read
from mlops.core.canonical import to_json
from mlops.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops.core.decision import Decision

TAG = "mlops.approve"
"""Of a model version: `waiting`; a person sets `yes` or `no`, with a name after it if they like."""
SOMEBODY = "somebody, in MLflow"
"""Who moved an alias or set a tag: MLflow keeps no record of it."""

Way = Literal["command", "tag", "alias", "flow"]
_WAYS = {
    "command": "by mlops approve",
    "tag": f"by the tag {TAG} in MLflow",
    "alias": "by moving the alias champion in MLflow",
    "flow": "by resuming the Prefect run",
}
_ASKED = '"approval":"pending"'  # as canonical JSON has it


@dataclass(frozen=True)
class Answer:
    """Body of the rows `approved` and `declined`.

    Attributes:
        decision: id of the decision answered.
        version: the candidate.
        way: how the person answered.
        words: all of it in a sentence.
    """

    decision: str
    version: str
    way: Way
    words: str


@dataclass(frozen=True)
class Said:
    """How and when a person answered.

    Attributes:
        way: see `Way`.
        actor: who.
        at_s: when, seconds since 1970; when it was found, where MLflow keeps no record.
        when: what is known of the time, where it is not known.
    """

    way: Way
    actor: str
    at_s: float
    when: str = ""


@dataclass(frozen=True)
class Asked:
    """A decision that asked for a person.

    Attributes:
        entry: its row.
        decision: what was decided, as the ledger holds it.
    """

    entry: Entry
    decision: Decision

    @property
    def version(self) -> str:
        """The candidate."""
        return self.decision.candidate.version

    @property
    def compared(self) -> str | None:
        """The champion that it was compared with."""
        return self.decision.champion.version if self.decision.champion else None


def asked(entries: Sequence[Entry]) -> tuple[Asked, ...]:
    """Return the newest decision of each version, where it asked; the newest first."""
    return tuple(_newest(entries))


def unanswered(entries: Sequence[Entry]) -> tuple[Asked, ...]:
    """Return the decisions that nobody has answered, the newest first."""
    answered = {e.key for e in entries if e.kind in ("approved", "declined")}
    return tuple(a for a in asked(entries) if a.entry.hash not in answered)


def waiting(ledger: Ledger) -> Asked | None:
    """Return the newest decision that a yes would put in service now, if there is one."""
    entries, serving = ledger.entries(), ledger.in_service()
    return next((a for a in unanswered(entries) if a.compared == serving), None)


def find(ledger: Ledger, version: str) -> Asked:
    """Return the decision that an answer means: of that version, else the newest that waits.

    Raises:
        LedgerError: if there is none; says how the version stands, and what to do.
    """
    entries = ledger.entries()
    # Without a version, what was answered last comes after all that waits: asked twice, the same.
    found = asked(entries) if version else (*unanswered(entries), *asked(entries))
    first = None if version else waiting(ledger)
    held = first or next((a for a in found if version in ("", a.version)), None)
    if held is None:
        msg = "no version waits for approval; look with: mlops history"
        if version:
            stands = condition(entries, version)
            serves = "it is in service" if version == ledger.in_service() else ""
            what = serves or f"{stands.words}; {stands.remedy}"
            msg = f"version {version[:40]} asked for no approval: {what}"
        raise LedgerError(msg)
    return held


def approve(ledger: Ledger, held: Asked, said: Said) -> Entry:
    """Record a yes, once; the caller holds `ledger.exclusive()` and moves the alias after.

    Raises:
        LedgerError: if it was declined or withdrawn, or the champion compared is no longer in
            service; nothing is recorded.
    """
    standing_yes = ledger.find("approved", held.entry.hash)
    if standing_yes is not None and ledger.find("withdrawn", standing_yes.hash) is not None:
        msg = (
            f"version {held.version} was approved by {standing_yes.actor}, and its stored files "
            "were no longer the ledger's; restore them, then: mlops promote --again"
        )
        raise LedgerError(msg)
    if standing_yes is not None:
        return standing_yes
    no = ledger.find("declined", held.entry.hash)
    if no is not None:
        msg = (
            f"version {held.version} was declined by {no.actor}; "
            "have it judged anew: mlops promote --again"
        )
        raise LedgerError(msg)
    serving = ledger.in_service()
    if serving != held.compared:
        msg = (
            f"version {held.version} was compared with {named(held.compared)}, and "
            f"{named(serving)} is in service now; have it judged anew: mlops promote --again"
        )
        raise LedgerError(msg)
    return ledger.append(_row("approved", held, said), champion=held.compared)


def decline(ledger: Ledger, held: Asked, said: Said) -> Entry:
    """Record a no, once; nothing moves. The caller holds `ledger.exclusive()`.

    Raises:
        LedgerError: if it was approved.
    """
    yes = ledger.find("approved", held.entry.hash)
    if yes is not None:
        msg = (
            f"version {held.version} was approved by {yes.actor}; "
            "to put the version before it back in service: mlops rollback"
        )
        raise LedgerError(msg)
    return ledger.append(_row("declined", held, said))


def read_tag(value: str | None) -> tuple[bool | None, str]:
    """Read what a person wrote into the tag: yes, no or nothing yet, and who.

    `yes`, `no`, `yes Ada` and `Yes, Ada Lovelace` are understood; anything else is no answer.
    """
    word, _, name = (value or "").replace(",", " ", 1).strip().partition(" ")
    said = {"yes": True, "true": True, "no": False, "false": False}.get(word.lower())
    return said, f"{name.strip()}, in MLflow" if name.strip() else SOMEBODY


def _newest(entries: Sequence[Entry]) -> Iterator[Asked]:
    if not any(e.kind == "decided" and _ASKED in e.body for e in entries):
        return  # nobody was ever asked: the bodies need not be read
    for entry in reversed(newest_decided(entries).values()):
        if _ASKED in entry.body:
            yield Asked(entry, read(entry.body))


def _row(kind: Literal["approved", "declined"], held: Asked, said: Said) -> Row:
    way = ", ".join(filter(None, (_WAYS[said.way], said.when)))
    words = f"{kind} version {held.version} {way}; decision {held.decision.id}"
    if kind == "declined":
        words = words.replace("mlops approve", "mlops reject", 1)
    return Row(
        kind=kind, key=held.entry.hash, at_s=said.at_s,
        actor=" ".join(said.actor.split())[:200],
        from_version=held.compared,
        to_version=held.version if kind == "approved" else held.compared,
        body=to_json(Answer(held.decision.id, held.version, said.way, words)),
    )  # fmt: skip


def named(version: str | None) -> str:
    """Return a version in words."""
    return "no version" if version is None else f"version {version}"
