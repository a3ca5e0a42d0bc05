"""Questions that a worker asks the database: in a few threads of their own, and not for ever.

A database that says nothing holds up what waits for it and nothing else: images, tables and long
bodies are read in other threads. Who asks is answered in time, whatever becomes of the question.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")

_THREADS = 4
_WAITING = 64


class Desk:
    """Asks, a few questions at a time.

    Args:
        within_s: seconds that who asks waits.
    """

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._free = asyncio.Semaphore(_THREADS)
        self._asking = 0

    async def ask(self, question: Callable[[], T]) -> T:
        """Return the answer to a question, and raise what it raises.

        Raises:
            TimeoutError: if there is none in time, or if too many wait for theirs.
        """
        if self._asking >= _WAITING:
            raise TimeoutError
        self._asking += 1
        try:
            async with asyncio.timeout(self._within_s):
                await self._free.acquire()
                return await asyncio.wrap_future(self._begin(question))
        finally:
            self._asking -= 1

    def _begin(self, question: Callable[[], T]) -> Future[T]:
        """Ask in a thread that the end of the process does not wait for.

        Its place is free when it ends, not when nobody waits for it any more.
        """
        loop = asyncio.get_running_loop()
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()

        def work() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked
                answer.set_exception(error)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._free.release)

        threading.Thread(target=work, name="database", daemon=True).start()
        return answer
