"""A lock that one process holds at a time and that ends with it, beside SQLite or in Postgres."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog
from filelock import FileLock, Timeout

from mlops.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import BaseFileLock

_SILENT_S = 10  # most moves take a second or two
_NOT_AVAILABLE = "55P03"  # Postgres: lock_timeout has passed


@contextmanager
def exclusive(engine: sa.Engine, name: str, key: int, *, wait_s: int) -> Iterator[None]:
    """Hold a lock for the length of a block.

    Args:
        engine: the database.
        name: of the lock's file beside an SQLite database, and in the error.
        key: signed 64-bit key of Postgres's advisory lock.
        wait_s: how long to wait for another holder, seconds.

    Raises:
        Busy: if another process holds it longer than that.
    """
    if engine.dialect.name == "sqlite":
        guard = FileLock(f"{engine.url.database}.{name}.lock")
        _wait(name, wait_s, lambda seconds: _take(guard, seconds))
        try:
            yield
        finally:
            guard.release()
        return
    with engine.connect() as connection:
        _wait(name, wait_s, lambda seconds: _acquire(connection, key, seconds))
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": key})
            connection.execute(sa.text("RESET lock_timeout"))
            connection.commit()


def _wait(name: str, wait_s: int, acquire: Callable[[int], bool]) -> None:
    """Wait for the lock, and say so once it takes long.

    Args:
        name: of the lock.
        wait_s: how long, seconds.
        acquire: waits for so many seconds, and says whether it has it.
    """
    first = min(wait_s, _SILENT_S)
    if acquire(first):
        return
    if wait_s > first:
        words = "waiting for another process that moves aliases"
        structlog.get_logger().warning(words, lock=name, at_most_s=wait_s)
        if acquire(wait_s - first):
            return
    msg = f"lock {name}: another process has held it for {wait_s} s; wait for it, or end it"
    raise Busy(msg)


def _take(guard: BaseFileLock, wait_s: int) -> bool:
    try:
        guard.acquire(timeout=wait_s)
    except Timeout:
        return False
    return True


def _acquire(connection: sa.Connection, key: int, wait_s: int) -> bool:
    try:
        connection.execute(sa.text(f"SET lock_timeout = '{wait_s}s'"))
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key})
    except sa.exc.OperationalError as error:
        connection.rollback()  # the timeout goes with it
        if getattr(error.orig, "sqlstate", None) == _NOT_AVAILABLE:
            return False
        raise
    connection.commit()
    return True
