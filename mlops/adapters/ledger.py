"""The ledger: the append-only record of what was registered, decided, applied and observed.

Kinds of rows, each unique by project, kind and key:

- `registered`: a version exists and this is its manifest's digest; no alias may point at a
  version without one;
- `decided`: a verdict, with the version in service before and after; equal for a refusal;
- `approved`: a person's yes to a decision that waited for one; its key is that row's hash;
- `declined`: a person's no, likewise; it moves nothing;
- `rollback`: a person's return to an earlier version;
- `applied`: the alias has followed; its key is the hash of the row that it follows;
- `withdrawn`: a row that could not be applied, its version's files being unverified; likewise;
- `observed`: a person moved the alias in the registry; it stands;
- `shadowed`: a person pointed the alias `shadow` somewhere else; nothing is in service by it.

Each row carries the hash of the one before it, and the database refuses to change or delete one.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from mlops.adapters.sql import lock
from mlops.adapters.sql.tables import ledger
from mlops.core.canonical import to_json
from mlops.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal[
    "registered", "decided", "approved", "declined", "rollback", "applied", "withdrawn", "observed",
    "shadowed",
]  # fmt: skip
MOVES: tuple[Kind, ...] = ("decided", "approved", "rollback", "withdrawn", "observed")
"""Kinds that say which version is in service."""

_FIRST = "0" * 64
WAIT_S = 120  # how long whoever moves an alias waits for another, seconds


@dataclass(frozen=True)
class Row:
    """What is to be recorded.

    Attributes:
        kind: see the module.
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


class Ledger:
    """The ledger of one project.

    Args:
        engine: the project's database, see `mlops.adapters.sql.engine`.
        project: registered-model name.
    """

    def __init__(self, engine: sa.Engine, project: str) -> None:
        self._engine = engine
        self._project = project

    def append(self, row: Row, *, champion: str | Literal[False] | None = False) -> Entry:
        """Record a row once; the same kind and key again returns what stands there.

        Args:
            row: what to record.
            champion: the version that must be in service by the ledger for the row to stand
                (compare and swap); left out, nothing is compared.

        Raises:
            LedgerError: if another version is in service than the one compared.
        """
        with self._writing() as connection:
            held = self._find(connection, row.kind, row.key)
            if held is not None:
                return held
            rows = self._rows(connection)
            if champion is not False and _in_service(rows) != champion:
                msg = (
                    f"version {_in_service(rows)} came into service while the candidate was "
                    f"judged against {champion}; run again: mlops promote"
                )
                raise LedgerError(msg)
            entry = _chain(self._project, row, rows[-1] if rows else None)
            connection.execute(ledger.insert().values(**asdict(entry)))
            return entry

    def entries(self) -> tuple[Entry, ...]:
        """Return every row of the project, the oldest first."""
        with self._engine.connect() as connection:
            return self._rows(connection)

    def find(self, kind: Kind, key: str) -> Entry | None:
        """Return the row of that kind and key, if it stands."""
        with self._engine.connect() as connection:
            return self._find(connection, kind, key)

    def registered(self, version: str) -> Entry | None:
        """Return the row that vouches for a version's bytes; its body holds the digest."""
        rows = [e for e in self.entries() if e.kind == "registered" and e.to_version == version]
        return rows[-1] if rows else None

    def last(self, *kinds: Kind) -> Entry | None:
        """Return the newest row of these kinds."""
        return next((e for e in reversed(self.entries()) if e.kind in kinds), None)

    def in_service(self) -> str | None:
        """Return the version that should be the champion."""
        return _in_service(self.entries())

    def last_move(self) -> Entry | None:
        """Return the newest row that says which version is in service."""
        return self.last(*MOVES)

    def verify_chain(self) -> int:
        """Recompute every hash and return the number of rows.

        Raises:
            LedgerError: naming the first row that is changed, missing or out of order.
        """
        before: Entry | None = None
        for number, entry in enumerate(self.entries(), start=1):
            if entry.number != number or entry != _chain(self._project, entry, before):
                msg = (
                    f"ledger of {self._project}: row {number} does not match its hash; "
                    "the record was changed outside this program: restore the database"
                )
                raise LedgerError(msg)
            before = entry
        return before.number if before else 0

    @property
    def engine(self) -> sa.Engine:
        """The database that it is kept in."""
        return self._engine

    @contextmanager
    def exclusive(self, *, wait_s: int = WAIT_S) -> Iterator[None]:
        """Hold the project's right to move aliases: from the ledger row to the alias, one by one.

        Without it a promoter that was stopped for a minute could move the alias back over a newer
        decision. The lock ends with its process.

        Args:
            wait_s: how long to wait for another holder, seconds.

        Raises:
            Busy: if somebody else holds it for longer.
        """
        key = _lock_key(self._project, "alias")
        with lock.exclusive(self._engine, f"{self._project}.alias", key, wait_s=wait_s):
            yield

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that no other writer of this ledger can overlap."""
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as connection:
                # The driver starts no transaction before a write of its own, so this one stands:
                # without IMMEDIATE two readers would both see the same last row.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
            return
        with self._engine.begin() as connection:
            key = {"key": _lock_key(self._project, "append")}
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), key)
            yield connection

    def _rows(self, connection: sa.Connection) -> tuple[Entry, ...]:
        found = connection.execute(
            sa.select(ledger).where(ledger.c.project == self._project).order_by(ledger.c.number)
        )
        return tuple(_entry(row._mapping) for row in found)  # noqa: SLF001 - SQLAlchemy's name

    def _find(self, connection: sa.Connection, kind: str, key: str) -> Entry | None:
        row = connection.execute(
            sa.select(ledger).where(
                ledger.c.project == self._project, ledger.c.kind == kind, ledger.c.key == key
            )
        ).one_or_none()
        return None if row is None else _entry(row._mapping)  # noqa: SLF001 - as above


def _entry(mapping: Any) -> Entry:
    values = dict(mapping)
    del values["seq"]
    return Entry(**values)


def _in_service(rows: tuple[Entry, ...]) -> str | None:
    return next((e.to_version for e in reversed(rows) if e.kind in MOVES), None)


def _chain(project: str, row: Row, before: Entry | None) -> Entry:
    """Number a row and seal it with the hash of the one before it."""
    names = Row.__dataclass_fields__
    content = {name: getattr(row, name) for name in names}
    number = before.number + 1 if before else 1
    prev_hash = before.hash if before else _FIRST
    sealed = {**content, "project": project, "number": number, "prev_hash": prev_hash}
    seal = hashlib.sha256(to_json(sealed).encode()).hexdigest()
    return Entry(**content, project=project, number=number, prev_hash=prev_hash, hash=seal)


def _lock_key(project: str, purpose: str) -> int:
    """Return a signed 64-bit key for Postgres's advisory locks."""
    digest = hashlib.blake2b(f"mlops/{project}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
