"""Prediction ids: unique, sortable by time, and recognisable without a look-up.

An id is 16 hex digits of nanoseconds since 1970, 6 of the worker, 16 of a keyed hash over both.
So feedback can be accepted for a prediction that is still on its way to the database, while an
invented id is told at once, and so is one that the log never has: the share of the predictions that
it keeps is drawn by the hash, and rows of bulk jobs, which it does not keep, are signed in a way of
their own. The key is made once per project and kept in `.mlops/`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SHAPE = re.compile(r"[0-9a-f]{38}\Z")
_KEY_BYTES = 32
_TICK_NS = 1000  # what a float of seconds since 1970 still tells apart
_BULK = b"bulk"
_DRAWN = 8  # hex digits at the end of an id: part of a keyed hash, so as good as drawn by lot
_SPAN = float(16**_DRAWN)


def load_key(home: Path) -> bytes:
    """Return the project's key, made at the first call; safe for processes that race."""
    path = home / "ids.key"
    home.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = home / f".ids.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(_KEY_BYTES))
        try:
            os.link(fresh, path)  # unlike rename, never replaces the key of a faster process
        except FileExistsError:
            return path.read_bytes()
        finally:
            fresh.unlink()
    return path.read_bytes()


def made_ns(identity: str) -> int:
    """Return when a genuine id was minted, nanoseconds since 1970."""
    return int(identity[:16], 16)


def is_drawn(identity: str, share: float) -> bool:
    """Say whether an id is among this share of all ids."""
    return int(identity[-_DRAWN:], 16) < share * _SPAN


class Minter:
    """Mints ids that grow strictly within a process, and recognises its siblings' ids."""

    def __init__(self, key: bytes, project: str) -> None:
        own = hashlib.blake2b(project.encode(), key=key, digest_size=32).digest()
        self._keyed = hashlib.blake2b(key=own, digest_size=8)
        self._worker = secrets.token_hex(3)
        self._last_ns = 0

    def mint(self, count: int) -> list[str]:
        """Return `count` fresh ids in growing order."""
        first = time.time_ns()
        if first <= self._last_ns:
            first = self._last_ns + 1
        self._last_ns = first + count - 1
        if count == 1:  # most requests have one row
            return [self._sign(f"{first:016x}{self._worker}")]
        return [self._sign(f"{first + n:016x}{self._worker}") for n in range(count)]

    def now_s(self) -> float:
        """Return seconds since 1970, later than any time or id that this process gave before.

        What is newest must not depend on a clock that was set back meanwhile.
        """
        self._last_ns = max(time.time_ns(), self._last_ns + _TICK_NS)
        return self._last_ns / 1e9

    def numbered(self, job: str, first: int, count: int) -> list[str]:
        """Return the ids of rows of a bulk job: the same rows of a job always have the same ids.

        They are signed apart from a server's, whose log does not have them.

        Args:
            job: at least 6 hex digits that are the job's own.
            first: nanoseconds since 1970 at the job's start, plus the number of the first row.
            count: how many.
        """
        return [self._sign(f"{first + n:016x}{job[:6]}", _BULK) for n in range(count)]

    def genuine(self, identity: str) -> bool:
        """Say whether an id was minted with this project's key, by a server."""
        return self._signed(identity)

    def of_bulk(self, identity: str) -> bool:
        """Say whether an id is one of a bulk job of this project."""
        return self._signed(identity, _BULK)

    def _signed(self, identity: str, kind: bytes = b"") -> bool:
        if not _SHAPE.match(identity):
            return False
        return hmac.compare_digest(self._sign(identity[:22], kind), identity)

    def _sign(self, head: str, kind: bytes = b"") -> str:
        signed = self._keyed.copy()  # the key is hashed once, not for every id
        signed.update(head.encode() + kind)
        return head + signed.hexdigest()
