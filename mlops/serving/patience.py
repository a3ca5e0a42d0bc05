"""Patience with slow senders: one timer for all whose bodies are awaited, not one for each.

Every request waits equally long, so whoever began first is late first, and a timer for that one is
enough. `asyncio.timeout` does the same for a single task, at a fifth of a small request's cost.

A worker that was held up itself, by other work on its machine or by a model, finds its timers due
before it has looked at what came meanwhile. So whoever is late is waited for a moment more, in
which the worker looks once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


_MOMENT_S = 0.02


class Patience:
    """How long a worker waits for the bodies of requests; used on its event loop only."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self._awaited: dict[asyncio.Task[object], float] = {}
        self._spared: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def reading(self) -> Reading:
        """Return a context in which the running task is given up after `wait_s`.

        It then raises TimeoutError.
        """
        return Reading(self)

    def begin(self, task: asyncio.Task[object]) -> None:
        """Wait for a task from now on."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self.wait_s
        self._awaited[task] = due_s
        if self._timer is None:
            self._timer = loop.call_at(due_s, self._expire)

    def end(self, task: asyncio.Task[object]) -> bool:
        """Wait for it no longer; False if it had been given up."""
        self._spared.discard(task)
        return self._awaited.pop(task, None) is not None

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for task, due_s in [*self._awaited.items()]:
            if due_s > now_s:
                continue
            self._awaited[task] = now_s + _MOMENT_S
            if task in self._spared:
                # Behind whatever is to be told of bytes that were read already.
                loop.call_soon(self._give_up, task)
            self._spared.add(task)
        first_s = min(self._awaited.values(), default=None)
        self._timer = None if first_s is None else loop.call_at(first_s, self._expire)

    def _give_up(self, task: asyncio.Task[object]) -> None:
        if self._awaited.pop(task, None) is not None:
            task.cancel()


class Reading:
    """A context of `Patience`, for one task."""

    __slots__ = ("_cancelling", "_patience", "_task")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def __enter__(self) -> None:
        """Begin to wait.

        Raises:
            RuntimeError: outside of a task.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("bodies are awaited in a task")
        self._task, self._cancelling = task, task.cancelling()
        self._patience.begin(task)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait no longer.

        Raises:
            TimeoutError: if the task was given up, and nobody else cancelled it.
        """
        if self._patience.end(self._task):
            return
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
