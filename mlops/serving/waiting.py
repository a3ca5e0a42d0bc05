"""Who waits for the model: requests in the batcher's queue, and how they hear of their answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from mlops.serving import metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.serving.model import Model
    from mlops.serving.run import Images, Ran
    from mlops.serving.split import Arm

_MODEL = attrgetter("model")


@dataclass(slots=True)
class Scored:
    """What came of one request: the model that ran, and float32 (N, classes)."""

    model: Model
    probabilities: NDArray[np.float32]


class Waiting(ABC):
    """One request in the queue; it hears once, on the event loop, what came of it.

    Attributes:
        model: that its rows were read for, the one in service when it came; None once it has heard.
        images: for the model, uint8 (N, H, W, C), or what its schema says.
        arm: who answers.
        due_s: when its answer is late, by `time.perf_counter`.
        over: whether it has heard, or nobody listens any more; kept by whoever waits.
    """

    model: Model | None
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

    def __init__(self, model: Model, images: Images, arm: Arm, due_s: float) -> None:
        self.model, self.images, self.arm, self.due_s = model, images, arm, due_s
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


def parted(batch: list[Waiting], champion: Model) -> tuple[Model, list[Waiting], list[Waiting]]:
    """Return who answers the first of a batch as champion, and the batch in two.

    A model may be swapped out between a request's reading and its turn. Where the new one takes
    the same, it answers; else the old one does, so that no column is taken for another.

    Args:
        batch: at least one request.
        champion: the model in service.

    Returns:
        The model, the requests that it answers, and the others, which wait for the next batch.
    """
    if {*map(_MODEL, batch)} == {champion}:
        return champion, batch, []
    read_for = _MODEL(batch[0])
    first = champion if read_for.schema == champion.schema else read_for
    mine = [item for item in batch if _MODEL(item).schema == first.schema]
    return first, mine, [item for item in batch if item not in mine]


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
