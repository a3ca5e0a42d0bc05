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
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from mlops.adapters.chain import Entry, Kind, Row, chained, verify
from mlops.adapters.sql import lock
from mlops.adapters.sql.tables import ledger
from mlops.adapters.store import BOUND_S
from mlops.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MOVES", "WAIT_S", "Entry", "Kind", "Ledger", "Row"]

MOVES: tuple[Kind, ...] = ("decided", "approved", "rollback", "withdrawn", "observed")
"""Kinds that say which version is in service."""

_COLUMNS = tuple(ledger.c[field.name] for field in fields(Entry))
PROOFS = 8
"""Most versions whose bytes one holder of the right hashes in the store, one after another: what a
kill left undone and what then stays or returns, what it came to move and what that replaces, what
waits for a person, and the cards of the pages."""
WAIT_S = PROOFS * int(BOUND_S)
"""How long whoever moves an alias waits for another, seconds: what that one may rightly take.
On a disk a proof takes a moment; only a slow store makes anybody wait for minutes."""


class Ledger:
    """The ledger of one project.

    Args:
        engine: the project's database, see `mlops.adapters.sql.engine`.
        project: registered-model name.
    """

    def __init__(self, engine: sa.Engine, project: str) -> None:
        self._engine = engine
        self._project = project
        self._known: tuple[Entry, ...] = ()

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
            entry = chained(self._project, row, rows[-1] if rows else None)
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
        """Read all rows anew, recompute every hash and return their number.

        Raises:
            LedgerError: naming the first row that is changed, missing or out of order.
        """
        self._known = ()
        return verify(self._project, self.entries())

    @property
    def engine(self) -> sa.Engine:
        """The database that it is kept in."""
        return self._engine

    @contextmanager
    def exclusive(self, *, wait_s: int = WAIT_S) -> Iterator[None]:
        """Hold the project's right to move aliases: from the ledger row to the alias, one by one.

        Without it a promoter that was stopped for a minute could move the alias back over a newer
        decision. The lock ends with its process. The chain is verified first: nothing moves by a
        record that was changed.

        Args:
            wait_s: how long to wait for another holder, seconds.

        Raises:
            Busy: if somebody else holds it for longer.
            LedgerError: if the chain is broken.
        """
        key = _lock_key(self._project, "alias")
        with lock.exclusive(self._engine, f"{self._project}.alias", key, wait_s=wait_s):
            self.verify_chain()
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
        """Return every row; what was read before is not read again, for no row is ever changed."""
        known, last = self._known, self._known[-1] if self._known else None
        rows = ledger.c.project == self._project
        if last is not None:
            rows &= ledger.c.number >= last.number
        found = connection.execute(sa.select(*_COLUMNS).where(rows).order_by(ledger.c.number))
        fresh = tuple(Entry(*row) for row in found)
        if last is not None and fresh[:1] != (last,):  # the database was restored meanwhile
            self._known = ()
            return self._rows(connection)
        self._known = (*known, *fresh[len(known) > 0 :])
        return self._known

    def _find(self, connection: sa.Connection, kind: str, key: str) -> Entry | None:
        row = connection.execute(
            sa.select(*_COLUMNS).where(
                ledger.c.project == self._project, ledger.c.kind == kind, ledger.c.key == key
            )
        ).one_or_none()
        return None if row is None else Entry(*row)


def _in_service(rows: tuple[Entry, ...]) -> str | None:
    return next((e.to_version for e in reversed(rows) if e.kind in MOVES), None)


def _lock_key(project: str, purpose: str) -> int:
    """Return a signed 64-bit key for Postgres's advisory locks."""
    digest = hashlib.blake2b(f"mlops/{project}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
