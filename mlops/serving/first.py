"""The wait for the first model: some requests wait, on one look for all; the rest hears at once.

Another worker may have the model already: whoever heard from that one that there is a model must
not hear from this one that there is none. As many may wait as may wait for their turn.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mlops.serving.admission import busy, late

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_S = 0.02
_FRESH_S = 0.005
"""How old a look may be for a newcomer: a flood of them must not be a flood of looks at a file."""


class FirstModel:
    """Who waits for the first model; used on the event loop only.

    Args:
        most: how many may wait.
        coming: says whether it is to be waited for; it looks at a file, so it is asked seldom.
    """

    def __init__(self, most: int, coming: Callable[[], bool]) -> None:
        self._most, self._coming = most, coming
        self._waiting: dict[asyncio.Future[None], float] = {}
        self._looking: asyncio.Task[None] | None = None
        self._came, self._looked_s = False, float("-inf")

    async def wait(self, due_s: float) -> None:
        """Return when it is here, or is not on its way.

        Args:
            due_s: when the request's answer is late, by `time.perf_counter`.

        Raises:
            Refused: 503 if too many wait already, or it does not come in time.
        """
        if not self._waiting and not self._comes():
            return
        if len(self._waiting) >= self._most:
            raise busy()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = due_s
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            await place
        finally:
            self._waiting.pop(place, None)

    def _comes(self) -> bool:
        """Say whether it is still to be waited for, by a look that may be a moment old."""
        now_s = time.perf_counter()
        if now_s - self._looked_s > _FRESH_S:
            self._came = self._coming()
            self._looked_s = now_s
        return self._came

    async def _look(self) -> None:
        """Look until nobody waits; whatever ends this ends the wait of all."""
        problem: Exception | None = None
        try:
            while self._waiting and self._comes():
                self._expire()
                await asyncio.sleep(_LOOK_S)
        except Exception as error:  # noqa: BLE001 - told to every request, which logs it
            problem = error
        finally:
            self._looking = None
            self._end(problem)

    def _expire(self) -> None:
        now_s = time.perf_counter()
        for place in [place for place, due_s in self._waiting.items() if due_s < now_s]:
            del self._waiting[place]
            if not place.done():
                place.set_exception(late())

    def _end(self, problem: Exception | None) -> None:
        waiting, self._waiting = self._waiting, {}
        for place in waiting:
            if place.done():
                continue
            if problem is None:
                place.set_result(None)
            else:
                place.set_exception(problem)
