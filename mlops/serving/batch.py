"""Micro-batching without a timer: what is queued in one tick of the event loop runs together.

Under load many requests are read in one tick and share one call of the model; alone, a request
waits for nobody. The model is picked when the batch runs, so every row of a batch, and therefore
of a request, has one version. What was read for a model that took other rows than the one that is
in service now is still that one's to answer. A quick model runs inline; one that would hold up the
event loop runs in a thread of its own, and what arrives meanwhile is the next batch.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING

from mlops.serving.admission import late
from mlops.serving.asked import ASKED, fresh_id
from mlops.serving.race import Race
from mlops.serving.reply import Refused
from mlops.serving.run import run
from mlops.serving.split import NOBODY
from mlops.serving.waiting import Awaited, fail, parted, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.serving.asked import Asked
    from mlops.serving.model import Model
    from mlops.serving.run import Images, Ran
    from mlops.serving.split import Arm, Split
    from mlops.serving.waiting import Scored, Waiting

_BATCH_ROWS = 64  # beyond it a batch is no faster per row and the first reply waits longer
_INLINE_S = 0.005
_BATCH_S = 0.02  # a shed request is to hear of it within 50 ms, also behind a slow model
_IMAGES, _ARM = attrgetter("images"), attrgetter("arm")


class Batcher:
    """Runs the models on what is queued; they may be replaced at any time on the loop."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self._challenger: Model | None = None
        self._split, self._race = NOBODY, Race()
        self._queue: list[Waiting] = []
        self._away: list[Waiting] = []
        self._away_since_s: float | None = None
        self._thread: ThreadPoolExecutor | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a model."""
        return self.model is not None

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
        champion = self.current()
        if champion.version == version:
            return "champion"
        rival = self._rival(champion)
        return "challenger" if rival is not None and rival.version == version else None

    def versions(self) -> list[str]:
        """Return the versions in service, the champion first."""
        rival = self._rival(self.current())
        return [self.current().version, *([rival.version] if rival else [])]

    async def score(
        self,
        model: Model,
        images_NHWC: Images,
        entities: Sequence[str | None] | None = None,
        arm: Arm | None = None,
    ) -> Scored:
        """Score the images of one request, together with what else is queued now.

        Args:
            model: that it was read for.
            images_NHWC: what was sent.
            entities: of the rows, see `turn`.
            arm: who answers, where the caller has chosen; None: the split decides.

        Raises:
            Refused: 503 when it would be answered too late.
        """
        asked = ASKED.get()
        if arm is None or self._challenger is None:
            arm = self.turn(entities, asked)
        waiting = Awaited(model, images_NHWC, arm, asked.due_s if asked else float("inf"))
        self.line_up(waiting)
        try:
            return await waiting.result
        finally:
            waiting.over = True

    def turn(self, entities: Sequence[str | None] | None, asked: Asked | None) -> Arm:
        """Return who answers a request.

        Args:
            entities: of its rows; the first decides between champion and challenger. Without one
                the request's `X-Entity` decides, else its id.
            asked: its head.
        """
        if self._challenger is None:
            return "champion"
        key = entities[0] if entities else None
        return self._split.arm(key or (asked and (asked.key or asked.id)) or fresh_id())

    def line_up(self, waiting: Waiting) -> None:
        """Queue a request; what is queued runs when the event loop comes round."""
        if not self._queue:
            asyncio.get_running_loop().call_soon(self._run)
        self._queue.append(waiting)

    def hung_s(self) -> float:
        """Return for how long the batch in the thread has been running; 0 if none is."""
        since_s = self._away_since_s
        return 0.0 if since_s is None else time.perf_counter() - since_s

    def expire(self) -> None:
        """Answer who is late although nothing comes back from the thread."""
        now_s = time.perf_counter()
        for item in (*self._away, *self._queue):
            if item.due_s < now_s and not item.over:
                item.fail(late())

    def _run(self) -> None:
        while self._queue and self._away_since_s is None:
            batch = self._next()
            if not batch:
                continue
            champion, batch, others = parted(batch, self.current())
            self._queue[:0] = others
            challenger = self._rival(champion)
            if challenger is not None:
                self._race.offer([*map(_IMAGES, batch)], champion, challenger)
            slowest = max(champion.row_s, challenger.row_s if challenger else 0.0)
            rows = sum(map(len, map(_IMAGES, batch)))
            if slowest * rows > _INLINE_S:
                self._send_away(batch, champion, challenger)
            else:
                settle(batch, run(*_parts(batch), champion, challenger))

    def _next(self) -> list[Waiting]:
        """Take the head of the queue: at least one request, else what runs within `_BATCH_S`."""
        limit = float(_BATCH_ROWS)
        if self.model is not None and self.model.row_s > 0.0:
            limit = min(limit, _BATCH_S / self.model.row_s)
        ends = [*accumulate(map(len, map(_IMAGES, self._queue)))]
        taken = max(1, bisect_right(ends, limit))
        batch, self._queue = self._queue[:taken], self._queue[taken:]
        return [item for item in batch if not item.over]

    def _rival(self, champion: Model) -> Model | None:
        """Return the challenger if it takes what the champion takes, and is another."""
        rival = self._challenger
        if rival is None or rival.schema != champion.schema or rival.version == champion.version:
            return None
        return rival

    def _send_away(self, batch: list[Waiting], champion: Model, challenger: Model | None) -> None:
        """Run a batch in the thread; the loop goes on, and takes the next when it is back."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        now_s = time.perf_counter()
        for item in batch:
            if item.due_s < now_s:
                item.fail(late())
        batch = [item for item in batch if not item.over]
        if not batch:
            return
        self._away, self._away_since_s = batch, now_s
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, run, *_parts(batch), champion, challenger)
        done.add_done_callback(self._back)

    def _back(self, done: asyncio.Future[list[Ran]]) -> None:
        batch, self._away, self._away_since_s = self._away, [], None
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            settle(batch, done.result())
        else:
            fail(batch, error)
        self._run()


def _parts(batch: list[Waiting]) -> tuple[list[Images], list[Arm]]:
    return [*map(_IMAGES, batch)], [*map(_ARM, batch)]
