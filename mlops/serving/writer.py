"""The prediction log's database end: spool segments → SQL, idempotent, oldest first.

Runs as a thread of the follower process. While the database is away, the spool stays.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from mlops.adapters.predictions import insert_batch
from mlops.adapters.sql.engine import open_database
from mlops.errors import DataError, Unavailable
from mlops.serving import metrics, spool

if TYPE_CHECKING:
    from pathlib import Path

_IDLE_S = 0.2
_BACK_OFF_S = 2.0
_SEGMENTS = 32
_DAMAGED = "damaged"
_STALE_S = 3600.0


class Writer:
    """Moves segments from the spool into the database until it is stopped."""

    def __init__(self, folder: Path, project: str, database_url: str) -> None:
        self._folder, self._project, self._url = folder, project, database_url
        self._engine: sa.Engine | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def start(self) -> None:
        """Sweep up what killed workers left half-written, then begin."""
        for path in self._folder.glob(f".*{spool.SUFFIX}.*.tmp"):
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink(missing_ok=True)
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is there, if the database answers, then stop."""
        self._stop.set()
        self._thread.join(timeout_s)

    def drain(self) -> int:
        """Move every waiting segment; return how many rows were new.

        Raises:
            Unavailable: if the database cannot be reached.
            sqlalchemy.exc.DBAPIError: if it fails underway; the rest stays in the spool.
        """
        written = 0
        while paths := spool.waiting(self._folder)[:_SEGMENTS]:
            metrics.SPOOL_SEGMENTS.set(len(paths))
            written += self._move(paths)
        metrics.SPOOL_SEGMENTS.set(0)
        return written

    def _run(self) -> None:
        while True:
            last = self._stop.is_set()
            pause_s = _IDLE_S
            try:
                metrics.SPOOL_BYTES.set(spool.size_bytes(self._folder))
                self.drain()
            except (Unavailable, sa.exc.SQLAlchemyError, OSError) as error:
                metrics.DATABASE_ERRORS.inc()
                metrics.SPOOL_SEGMENTS.set(len(spool.waiting(self._folder)))
                structlog.get_logger().warning("prediction log waits", why=_first_line(error))
                pause_s = _BACK_OFF_S
                self._forget_engine()
            if last:
                self._forget_engine()
                return
            self._stop.wait(pause_s)

    def _move(self, paths: list[Path]) -> int:
        """Insert segments in one transaction; if the database refuses one, find out which."""
        segments = {path: found for path in paths if (found := self._read(path)) is not None}
        if self._engine is None:
            self._engine = open_database(self._url)
        rows = [row for segment in segments.values() for row in segment.predictions]
        given = [label for segment in segments.values() for label in segment.labels]
        scored = [score for segment in segments.values() for score in segment.scores]
        try:
            written, labelled = insert_batch(self._engine, self._project, rows, given, scored)
        except (sa.exc.DataError, sa.exc.IntegrityError) as error:
            if len(segments) > 1:
                return sum(self._move([path]) for path in segments)
            for path in segments:
                self._set_aside(path, _first_line(error))
            return 0
        metrics.LOG_WRITTEN.inc(written + labelled)
        for path in segments:
            path.unlink(missing_ok=True)
        return written + labelled

    def _read(self, path: Path) -> spool.Segment | None:
        try:
            return spool.read(path)
        except FileNotFoundError:
            return None  # another writer of the same spool was faster
        except (DataError, ValueError, TypeError) as error:
            self._set_aside(path, _first_line(error))
            return None

    def _set_aside(self, path: Path, why: str) -> None:
        metrics.SPOOL_DAMAGED.inc()
        target = self._folder / _DAMAGED / path.name
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
        structlog.get_logger().error("segment set aside", path=str(target), why=why)

    def _forget_engine(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
