"""A lock that one process holds at a time and that ends with it, beside SQLite or in Postgres."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from filelock import FileLock, Timeout

from mlops.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        try:
            guard.acquire(timeout=wait_s)
        except Timeout:
            raise Busy(_told(name, wait_s)) from None
        try:
            yield
        finally:
            guard.release()
        return
    with engine.connect() as connection:
        _acquire(connection, name, key, wait_s)
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": key})
            connection.execute(sa.text("RESET lock_timeout"))
            connection.commit()


def _acquire(connection: sa.Connection, name: str, key: int, wait_s: int) -> None:
    try:
        connection.execute(sa.text(f"SET lock_timeout = '{wait_s}s'"))
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key})
    except sa.exc.OperationalError as error:
        connection.rollback()  # the timeout goes with it
        if getattr(error.orig, "sqlstate", None) == _NOT_AVAILABLE:
            raise Busy(_told(name, wait_s)) from None
        raise
    connection.commit()


def _told(name: str, wait_s: int) -> str:
    return f"lock {name}: another process has held it for {wait_s} s; wait for it, or end it"
