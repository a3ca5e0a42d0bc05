"""The rows of the ledger as a chain: each carries the hash of the one before it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops.core.canonical import to_json
from mlops.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = Literal[
    "registered", "decided", "approved", "declined", "rollback", "applied", "withdrawn", "observed",
    "shadowed",
]  # fmt: skip

_FIRST = "0" * 64


@dataclass(frozen=True)
class Row:
    """What is to be recorded.

    Attributes:
        kind: see `mlops.adapters.ledger`.
        key: idempotency key, at most 64 characters.
        at_s: when, seconds since 1970.
        actor: who or what.
        from_version: in service before; nothing for none.
        to_version: in service after, or the version registered.
        body: canonical JSON: the decision, or the manifest's digest.
    """

    kind: Kind
    key: str
    at_s: float
    actor: str
    from_version: str | None
    to_version: str | None
    body: str


@dataclass(frozen=True)
class Entry(Row):
    """A recorded row.

    Attributes:
        project: registered-model name.
        number: counts from 1 within the project.
        prev_hash: hash of the row before it.
        hash: sha256 over everything above.
    """

    project: str
    number: int
    prev_hash: str
    hash: str


def chained(project: str, row: Row, before: Entry | None) -> Entry:
    """Number a row and seal it with the hash of the one before it."""
    number, prev_hash = (before.number + 1, before.hash) if before else (1, _FIRST)
    own = {name: getattr(row, name) for name in Row.__dataclass_fields__}
    seal = _seal(project, row, number, prev_hash)
    return Entry(**own, project=project, number=number, prev_hash=prev_hash, hash=seal)


def since_renumbered(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the rows since version numbers last began anew; all of them if they never did.

    After a registered model was deleted MLflow counts from 1 again: what earlier rows say of a
    number is said of another version.
    """
    start, known = 0, set[str | None]()
    for place, entry in enumerate(entries):
        if entry.kind == "registered":
            if entry.to_version in known:
                start, known = place, set()
            known.add(entry.to_version)
    return entries[start:]


def verify(project: str, entries: Iterable[Entry]) -> int:
    """Recompute every hash and return the number of rows: 10,000 take half a second.

    Raises:
        LedgerError: naming the first row that is changed, missing or out of order.
    """
    before, count = _FIRST, 0
    for entry in entries:
        count += 1
        follows = entry.project == project and (entry.number, entry.prev_hash) == (count, before)
        if not follows or entry.hash != _seal(project, entry, count, before):
            msg = (
                f"ledger of {project}: row {count} does not match its hash; the record was changed "
                "outside this program, and nothing is moved by it: restore the database"
            )
            raise LedgerError(msg)
        before = entry.hash
    return count


def _seal(project: str, row: Row, number: int, prev_hash: str) -> str:
    content = {
        "kind": row.kind, "key": row.key, "at_s": row.at_s, "actor": row.actor,
        "from_version": row.from_version, "to_version": row.to_version, "body": row.body,
        "project": project, "number": number, "prev_hash": prev_hash,
    }  # fmt: skip
    return hashlib.sha256(to_json(content).encode()).hexdigest()
