"""The prediction log's worker end: off the request path, bounded, synced every few milliseconds.

A reply may leave before its row is synced: a crash of the worker loses at most the rows of
`Limits.flush_s` or `Limits.flush_rows`, whichever is less. With `flush_s` 0 it loses none: every
reply waits for its sync, which it shares with whatever else is waiting. So does feedback.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

import structlog

from mlops.serving import metrics, spool
from mlops.serving.cut import Answered, Cutter
from mlops.serving.reply import Refused
from mlops.serving.room import Room, SpoolFull

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.core.prediction import Given
    from mlops.serving.block import Block
    from mlops.serving.config import Limits
    from mlops.serving.redaction import Redaction

__all__ = ["Answered", "PredictionLog", "stored"]

_Item = tuple["Answered | Sequence[Given]", int, "Future[None] | None"]
"""What is to be written, how many rows it has, and who waits for it."""
_RETRY_S = 0.5
_SEGMENT_RECORDS = 4096


class PredictionLog:
    """A bounded queue and the thread that turns it into spool segments.

    Attributes:
        waits: whether every reply waits for its sync.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        *,
        keep_payloads: bool,
        redaction: Redaction | None = None,
        sample: float = 1.0,
    ) -> None:
        self._folder, self._limits = folder, limits
        self.waits = not limits.flush_s
        self._cutter = Cutter(keep_payloads, redaction, sample)
        self._most, self._flush_rows = limits.queued_rows, limits.flush_rows
        self._room, self._full_said = Room(folder, limits.spool_bytes), False
        self._queue: deque[_Item] = deque()
        self._rows, self._asleep = 0, False
        self._guard = threading.Lock()
        self._wake, self._full, self._stop = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._last_ns = max(map(spool.place_ns, spool.waiting(folder)), default=0)
        self._thread.start()

    def append(self, answered: Answered) -> Future[None] | None:
        """Queue one answered request; when the queue is full its rows are dropped and counted.

        Returns:
            Where a reply waits for its sync (`Limits.flush_s` is 0), what is done then; it fails
            if the rows cannot be stored.
        """
        synced: Future[None] | None = None
        if self.waits and answered.shadow_of is None:
            synced = Future()
        rows = len(answered.ids)
        if not self._put(answered, rows, synced):
            metrics.LOG_DROPPED.inc(rows)
            if synced is not None:
                synced.set_exception(OSError("the queue is full"))
        return synced

    def label(self, given: Sequence[Given]) -> Future[None] | None:
        """Queue labels and scores; done once they are on disk. None: the queue is full."""
        synced: Future[None] = Future()
        return synced if self._put(given, len(given), synced) else None

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is queued, then stop."""
        self._stop.set()
        self._wake.set()
        self._full.set()
        self._thread.join(timeout_s)

    def _put(
        self, content: Answered | Sequence[Given], rows: int, synced: Future[None] | None
    ) -> bool:
        """Queue rows; False if that would be too many."""
        with self._guard:
            queued = self._rows + rows
            if queued > self._most:
                return False
            self._rows = queued
        self._queue.append((content, rows, synced))
        if self._asleep:  # else the thread is about to look anyway
            self._wake.set()
        if queued >= self._flush_rows:
            self._full.set()
        return True

    def _run(self) -> None:
        while not (self._stop.is_set() and not self._queue):
            self._asleep = True  # first this, then the look: whoever comes between wakes us
            if not self._queue:
                self._wake.wait()
            self._asleep = False
            if not self._stop.is_set():
                self._full.wait(self._limits.flush_s)
            self._wake.clear()
            self._full.clear()
            while self._queue:
                self._write(self._next())
            metrics.LOG_QUEUED.set(self._rows)

    def _next(self) -> list[_Item]:
        items: list[_Item] = []
        rows = 0
        while self._queue and rows < _SEGMENT_RECORDS:
            item = self._queue.popleft()
            items.append(item)
            rows += item[1]
        return items

    def _write(self, items: list[_Item]) -> None:
        """Write one segment; whatever goes wrong with it is counted, and the next one follows."""
        contents, counts, synced = zip(*items, strict=True)
        rows = sum(counts)
        problem: Exception | None = None
        try:
            records = self._cutter.records(contents)
            if records:
                self._store(records)
        except SpoolFull as error:
            metrics.LOG_DROPPED.inc(rows)
            self._say_full(error)
            problem = error
        except Exception as error:  # noqa: BLE001 - without this thread nothing is logged again
            metrics.LOG_DROPPED.inc(rows)
            structlog.get_logger().exception("segment lost", folder=str(self._folder), rows=rows)
            problem = error
        for one in filter(None, synced):
            _settle(one, problem)
        with self._guard:
            self._rows -= rows

    def _store(self, records: Sequence[Block | Given]) -> None:
        """Write records, trying again until the disk takes them.

        Raises:
            SpoolFull: if the spool has reached its bound.
            OSError: if the process stops before the disk takes them.
        """
        content = spool.encode(records)
        while True:
            try:
                self._room.need(len(content))
                path = spool.write(self._folder, content, self._last_ns)
                self._room.took(len(content))
                self._last_ns = spool.place_ns(path)
                self._say_full(None)
            except SpoolFull:
                raise
            except OSError as error:
                metrics.SPOOL_ERRORS.inc()
                structlog.get_logger().error("spool", folder=str(self._folder), why=str(error))
                metrics.LOG_QUEUED.set(self._rows)
                if self._stop.wait(_RETRY_S):
                    raise
                continue
            return

    def _say_full(self, why: SpoolFull | None) -> None:
        """Log once that the spool is full, and once that it has room again."""
        if bool(why) == self._full_said:
            return
        self._full_said = bool(why)
        if why is not None:
            structlog.get_logger().error("spool full, rows are dropped", why=str(why))
        else:
            structlog.get_logger().info("spool has room again")


def _settle(synced: Future[None], problem: Exception | None) -> None:
    """Answer who waits for a sync; a future cancelled by a caller's timeout takes no answer."""
    if not synced.set_running_or_notify_cancel():
        return
    if problem is None:
        synced.set_result(None)
    else:
        synced.set_exception(OSError(f"not stored: {problem}"))


async def stored(synced: Future[None], within_s: float) -> None:
    """Wait until rows are on disk.

    Raises:
        Refused: 503 if they are not in time, or cannot be stored at all.
    """
    try:
        await asyncio.wait_for(asyncio.wrap_future(synced), within_s)
    except OSError:  # of the log, or that it took too long: a TimeoutError is one too
        raise Refused(
            503, "log_full", "the prediction cannot be logged now", retry_s=2, remedy="try again"
        ) from None
