"""The prediction log's worker end: off the request path, bounded, synced every few milliseconds.

A reply may leave before its row is synced: a crash of the worker loses at most the rows of
`Limits.flush_s` or `Limits.flush_rows`, whichever is less. Feedback waits for its sync.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mlops.core.example import example_id
from mlops.core.prediction import Label, Prediction
from mlops.serving import metrics, spool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mlops.serving.config import Limits

_RETRY_S = 0.5
_SEGMENT_RECORDS = 4096


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered request, as the request path leaves it: arrays are cut into rows later.

    Attributes:
        ids: one per row.
        at_s: when, seconds since 1970.
        version: the model version that answered.
        entities: one per row; None for no row having one.
        images: uint8, (N, H, W, C).
        probabilities: float32, (N, classes).
        latency_s: from arrival to answer.
    """

    ids: Sequence[str]
    at_s: float
    version: str
    entities: Sequence[str | None] | None
    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    latency_s: float


@dataclass(frozen=True, slots=True)
class _Given:
    labels: Sequence[Label]
    synced: Future[None]


class PredictionLog:
    """A bounded queue and the thread that turns it into spool segments."""

    def __init__(self, folder: Path, limits: Limits, *, keep_payloads: bool) -> None:
        self._folder, self._limits, self._keep = folder, limits, keep_payloads
        self._queue: deque[Answered | _Given] = deque()
        self._rows = 0
        self._guard = threading.Lock()
        self._wake, self._full, self._stop = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def append(self, answered: Answered) -> None:
        """Queue one answered request; when the queue is full its rows are dropped and counted."""
        if not self._take(len(answered.ids)):
            metrics.LOG_DROPPED.inc(len(answered.ids))
            return
        self._put(answered)

    def label(self, labels: Sequence[Label]) -> Future[None] | None:
        """Queue labels; the result is done once they are on disk. None: the queue is full."""
        if not self._take(len(labels)):
            return None
        given = _Given(labels, Future())
        self._put(given)
        return given.synced

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is queued, then stop."""
        self._stop.set()
        self._wake.set()
        self._full.set()
        self._thread.join(timeout_s)

    def _take(self, rows: int) -> bool:
        with self._guard:
            if self._rows + rows > self._limits.queued_rows:
                return False
            self._rows += rows
            return True

    def _put(self, item: Answered | _Given) -> None:
        self._queue.append(item)
        self._wake.set()
        if self._rows >= self._limits.flush_rows:
            self._full.set()

    def _run(self) -> None:
        while not (self._stop.is_set() and not self._queue):
            self._wake.wait()
            if not self._stop.is_set():
                self._full.wait(self._limits.flush_s)
            self._wake.clear()
            self._full.clear()
            while self._queue:
                self._write(self._next())
            metrics.LOG_QUEUED.set(self._rows)

    def _next(self) -> list[Answered | _Given]:
        items: list[Answered | _Given] = []
        rows = 0
        while self._queue and rows < _SEGMENT_RECORDS:
            items.append(self._queue.popleft())
            rows += _rows(items[-1])
        return items

    def _write(self, items: list[Answered | _Given]) -> None:
        """Write one segment; whatever goes wrong with it is counted, and the next one follows."""
        rows = sum(_rows(item) for item in items)
        problem: Exception | None = None
        try:
            self._store(self._records(items))
        except Exception as error:  # noqa: BLE001 - without this thread nothing is logged again
            metrics.LOG_DROPPED.inc(rows)
            structlog.get_logger().exception("segment lost", folder=str(self._folder), rows=rows)
            problem = error
        for item in items:
            if isinstance(item, _Given):
                _settle(item.synced, problem)
        with self._guard:
            self._rows -= rows

    def _records(self, items: list[Answered | _Given]) -> list[Prediction | Label]:
        records: list[Prediction | Label] = []
        for item in items:
            records += item.labels if isinstance(item, _Given) else _cut(item, keep=self._keep)
        return records

    def _store(self, records: list[Prediction | Label]) -> None:
        """Write records, trying again until the disk takes them.

        Raises:
            OSError: if the process stops before it does.
        """
        while True:
            try:
                spool.write(self._folder, records)
            except OSError as error:
                metrics.SPOOL_ERRORS.inc()
                structlog.get_logger().error("spool", folder=str(self._folder), why=str(error))
                metrics.LOG_QUEUED.set(self._rows)
                if self._stop.wait(_RETRY_S):
                    raise
                continue
            return


def _rows(item: Answered | _Given) -> int:
    return len(item.labels) if isinstance(item, _Given) else len(item.ids)


def _settle(synced: Future[None], problem: Exception | None) -> None:
    """Answer who waits for a sync; a future cancelled by a caller's timeout takes no answer."""
    if not synced.set_running_or_notify_cancel():
        return
    if problem is None:
        synced.set_result(None)
    else:
        synced.set_exception(OSError(f"not stored: {problem}"))


def _cut(answered: Answered, *, keep: bool) -> list[Prediction]:
    shape = answered.images.shape[1:]
    entities = answered.entities or [None] * len(answered.ids)
    scores = answered.probabilities.astype("<f4", copy=False)
    rows = []
    for n, identity in enumerate(answered.ids):
        features = answered.images[n].tobytes()
        rows.append(Prediction(
            identity, answered.at_s, answered.version, example_id(features, shape), entities[n],
            features if keep else None, scores[n].tobytes(), answered.latency_s,
        ))  # fmt: skip
    return rows
