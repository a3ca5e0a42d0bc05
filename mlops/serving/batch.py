"""Micro-batching without a timer: what is queued in one tick of the event loop runs together.

Under load many requests are read in one tick and share one call of the model; alone, a request
waits for nobody. The model is picked when the batch runs, so every row of a batch, and therefore
of a request, has one version. A quick model runs inline; one that would hold up the event loop
runs in a thread of its own, and what arrives meanwhile is the next batch.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.serving import metrics
from mlops.serving.admission import late
from mlops.serving.asked import ASKED, fresh_id
from mlops.serving.reply import Refused, invalid
from mlops.serving.run import run
from mlops.serving.split import NOBODY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.serving.model import Model
    from mlops.serving.run import Ran
    from mlops.serving.split import Arm, Split

_BATCH_ROWS = 64  # beyond it a batch is no faster per row and the first reply waits longer
_INLINE_S = 0.005
_BATCH_S = 0.02  # a shed request is to hear of it within 50 ms, also behind a slow model


@dataclass(slots=True)
class Scored:
    """What came of one request: the model that ran, and float32 (N, classes)."""

    model: Model
    probabilities: NDArray[np.float32]


@dataclass(slots=True)
class _Waiting:
    images: NDArray[np.uint8]
    result: asyncio.Future[Scored]
    arm: Arm
    due_s: float


class Batcher:
    """Runs the models on what is queued; they may be replaced at any time on the loop."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self._challenger: Model | None = None
        self._split = NOBODY
        self._queue: list[_Waiting] = []
        self._away: list[_Waiting] = []
        self._away_since_s: float | None = None
        self._thread: ThreadPoolExecutor | None = None

    def current(self) -> Model:
        """Return the model in service.

        Raises:
            Refused: 503 before there is one.
        """
        if self.model is None:
            raise Refused(
                503, "no_model", "no model is in service yet", retry_s=2,
                remedy="a champion loads in seconds; train and promote one: mlops train",
            )  # fmt: skip
        return self.model

    def compete(self, challenger: Model | None, split: Split = NOBODY) -> None:
        """Give a share of the keys to a challenger; None ends it."""
        self._challenger, self._split = challenger, split if challenger else NOBODY

    def arm(self, version: str) -> Arm | None:
        """Return who answers with a version; None if nobody does."""
        if self.current().version == version:
            return "champion"
        rival = self._challenger
        return "challenger" if rival is not None and rival.version == version else None

    def versions(self) -> list[str]:
        """Return the versions in service, the champion first."""
        rival = self._rival(self.current())
        return [self.current().version, *([rival.version] if rival else [])]

    async def score(
        self, images_NHWC: NDArray[np.uint8], key: str | None = None, arm: Arm | None = None
    ) -> Scored:
        """Score the images of one request, together with what else is queued now.

        Args:
            images_NHWC: what was sent.
            key: whom the request is about; decides between champion and challenger. Without one
                the request's `X-Entity` decides, else its id.
            arm: who answers, where the caller has chosen; None: the split decides.

        Raises:
            Refused: 503 when it would be answered too late.
        """
        loop = asyncio.get_running_loop()
        asked = ASKED.get()
        if self._challenger is None:
            arm = "champion"
        elif arm is None:
            named = key or (asked and (asked.key or asked.id)) or fresh_id()
            arm = self._split.arm(named)
        due_s = asked.due_s if asked else float("inf")
        waiting = _Waiting(images_NHWC, loop.create_future(), arm, due_s)
        if not self._queue:
            loop.call_soon(self._run)
        self._queue.append(waiting)
        return await waiting.result

    def hung_s(self) -> float:
        """Return for how long the batch in the thread has been running; 0 if none is."""
        since_s = self._away_since_s
        return 0.0 if since_s is None else time.perf_counter() - since_s

    def expire(self) -> None:
        """Answer who is late although nothing comes back from the thread."""
        now_s = time.perf_counter()
        for item in (*self._away, *self._queue):
            if item.due_s < now_s and not item.result.done():
                item.result.set_exception(late())

    def _run(self) -> None:
        while self._queue and self._away_since_s is None:
            batch = self._next()
            try:
                champion = self.current()
            except Refused as refused:
                _fail(batch, refused)
                continue
            batch = _fitting(batch, champion)
            if not batch:
                continue
            challenger = self._rival(champion)
            slowest = max(champion.row_s, challenger.row_s if challenger else 0.0)
            rows = sum(len(item.images) for item in batch)
            if slowest * rows > _INLINE_S:
                self._send_away(batch, champion, challenger)
            else:
                _settle(batch, run(_arms(batch), champion, challenger))

    def _next(self) -> list[_Waiting]:
        """Take the head of the queue: at least one request, else what runs within `_BATCH_S`."""
        limit = float(_BATCH_ROWS)
        if self.model is not None and self.model.row_s > 0.0:
            limit = min(limit, _BATCH_S / self.model.row_s)
        queue, rows, taken = self._queue, 0, 0
        for item in queue:
            rows += len(item.images)
            if taken and rows > limit:
                break
            taken += 1
        batch, self._queue = queue[:taken], queue[taken:]
        return [item for item in batch if not item.result.done()]

    def _rival(self, champion: Model) -> Model | None:
        """Return the challenger if it takes what the champion takes, and is another."""
        rival = self._challenger
        if rival is None or rival.schema != champion.schema or rival.version == champion.version:
            return None
        return rival

    def _send_away(self, batch: list[_Waiting], champion: Model, challenger: Model | None) -> None:
        """Run a batch in the thread; the loop goes on, and takes the next when it is back."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        now_s = time.perf_counter()
        for item in batch:
            if item.due_s < now_s:
                item.result.set_exception(late())
        batch = [item for item in batch if not item.result.done()]
        if not batch:
            return
        self._away, self._away_since_s = batch, now_s
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, run, _arms(batch), champion, challenger)
        done.add_done_callback(self._back)

    def _back(self, done: asyncio.Future[list[Ran]]) -> None:
        batch, self._away, self._away_since_s = self._away, [], None
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            _settle(batch, done.result())
        else:
            _fail(batch, error)
        self._run()


def _arms(batch: list[_Waiting]) -> list[tuple[NDArray[np.uint8], Arm]]:
    return [(item.images, item.arm) for item in batch]


def _fitting(batch: list[_Waiting], model: Model) -> list[_Waiting]:
    """Return what the model takes; the rest was parsed for one that was swapped out since."""
    shape = model.schema.shape
    wrong = [item for item in batch if item.images.shape[1:] != shape]
    for item in wrong:
        item.result.set_exception(invalid(f"images must be {shape}"))
    return [item for item in batch if not item.result.done()] if wrong else batch


def _settle(batch: list[_Waiting], ran: list[Ran]) -> None:
    for item, (model, outcome) in zip(batch, ran, strict=True):
        if item.result.done():
            continue
        if isinstance(outcome, Exception):
            item.result.set_exception(outcome)
        else:
            item.result.set_result(Scored(model, outcome))


def _fail(batch: list[_Waiting], error: BaseException) -> None:
    metrics.MODEL_FAILURES.inc()
    for item in batch:
        if not item.result.done():
            item.result.set_exception(error)
