"""Micro-batching without a timer: what is queued in one tick of the event loop runs together.

Under load many requests are read in one tick and share one call of the model; alone, a request
waits for nobody. The model is picked when the batch runs, so every row of a batch, and therefore
of a request, has one version.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.serving.reply import Refused, invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.serving.model import Model

_BATCH_ROWS = 64  # beyond it a batch is no faster per row and the first reply waits longer


@dataclass(slots=True)
class Scored:
    """What came of one request: the model that ran, and float32 (N, classes)."""

    model: Model
    probabilities: NDArray[np.float32]


@dataclass(slots=True)
class _Waiting:
    images: NDArray[np.uint8]
    result: asyncio.Future[Scored]


class Batcher:
    """Runs one model on what is queued; `model` may be replaced at any time on the loop."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self._queue: list[_Waiting] = []

    def current(self) -> Model:
        """Return the model in service.

        Raises:
            Refused: 503 before there is one.
        """
        if self.model is None:
            raise Refused(
                503, "no_model", "no model is in service yet", retry_s=2,
                remedy="train and promote one: mlops train",
            )  # fmt: skip
        return self.model

    async def score(self, images_NHWC: NDArray[np.uint8]) -> Scored:
        """Score the images of one request, together with what else is queued now."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(images_NHWC, loop.create_future())
        if not self._queue:
            loop.call_soon(self._run)
        self._queue.append(waiting)
        return await waiting.result

    def _run(self) -> None:
        queue, self._queue = self._queue, []
        while queue:
            rows = taken = 0
            while taken < len(queue) and (
                not taken or rows + len(queue[taken].images) <= _BATCH_ROWS
            ):
                rows += len(queue[taken].images)
                taken += 1
            batch, queue = queue[:taken], queue[taken:]
            self._score([item for item in batch if not item.result.done()])

    def _score(self, batch: list[_Waiting]) -> None:
        try:
            model = self.current()
            fitting = [item for item in batch if item.images.shape[1:] == model.schema.shape]
            for item in batch:
                if item.images.shape[1:] != model.schema.shape:  # swapped since it was parsed
                    item.result.set_exception(invalid(f"images must be {model.schema.shape}"))
            if not fitting:
                return
            images = [item.images for item in fitting]
            scores = model.predict(images[0] if len(images) == 1 else np.concatenate(images))
        except Exception as error:  # noqa: BLE001 - every waiting request must hear of it
            for item in batch:
                if not item.result.done():
                    item.result.set_exception(error)
            return
        at = 0
        for item in fitting:
            item.result.set_result(Scored(model, scores[at : at + len(item.images)]))
            at += len(item.images)
