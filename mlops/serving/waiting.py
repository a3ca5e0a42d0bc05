"""Who waits for the model: requests in the batcher's queue, and how they hear of their answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from mlops.serving import metrics
from mlops.serving.reply import invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.serving.model import Model
    from mlops.serving.run import Images, Ran
    from mlops.serving.split import Arm

_SHAPE = attrgetter("images.shape")


@dataclass(slots=True)
class Scored:
    """What came of one request: the model that ran, and float32 (N, classes)."""

    model: Model
    probabilities: NDArray[np.float32]


class Waiting(ABC):
    """One request in the queue; it hears once, on the event loop, what came of it.

    Attributes:
        images: for the model, uint8 (N, H, W, C), or what its schema says.
        arm: who answers.
        due_s: when its answer is late, by `time.perf_counter`.
        over: whether it has heard, or nobody listens any more; kept by whoever waits.
    """

    images: Images
    arm: Arm
    due_s: float
    over = False

    @abstractmethod
    def answer(self, model: Model, probabilities: NDArray[np.float32]) -> None:
        """Hear of the model that ran, and its float32 (N, classes)."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Hear why there is no answer."""


class Awaited(Waiting):
    """A request whose task waits."""

    def __init__(self, images: Images, arm: Arm, due_s: float) -> None:
        self.images, self.arm, self.due_s = images, arm, due_s
        self.result: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()

    def answer(self, model: Model, probabilities: NDArray[np.float32]) -> None:
        """Wake it."""
        self.over = True
        if not self.result.done():
            self.result.set_result(Scored(model, probabilities))

    def fail(self, error: BaseException) -> None:
        """Wake it with an error."""
        self.over = True
        if not self.result.done():
            self.result.set_exception(error)


def fitting(batch: list[Waiting], model: Model) -> list[Waiting]:
    """Return what the model takes; the rest was parsed for one that was swapped out since."""
    shape = model.schema.shape
    if all(found[1:] == shape for found in set(map(_SHAPE, batch))):
        return batch
    for item in batch:
        if item.images.shape[1:] != shape:
            item.fail(invalid(f"images must be {shape}"))
    return [item for item in batch if not item.over]


def settle(batch: list[Waiting], ran: list[Ran]) -> None:
    """Tell every request of a batch what came of it."""
    for item, (model, outcome) in zip(batch, ran, strict=True):
        if item.over:
            continue
        if isinstance(outcome, Exception):
            item.fail(outcome)
        else:
            item.answer(model, outcome)


def fail(batch: list[Waiting], error: BaseException) -> None:
    """Tell every request of a batch why there is no answer."""
    metrics.MODEL_FAILURES.inc()
    for item in batch:
        if not item.over:
            item.fail(error)
