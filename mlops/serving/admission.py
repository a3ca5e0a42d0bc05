"""Admission: few requests are worked on, some wait for their turn, the rest is turned away at once.

A worker has one thread for everything. If it parsed and scored whatever has arrived before it
looked at its sockets again, a request in excess would learn of it only after all that work. So at
most `Limits.concurrent` requests are past the gate; what waits costs nothing but its body.

How long a newcomer would wait is told from how fast the ones before it come through: who would
wait longer than `Limits.wait_s` hears so at once, and not when its time is over.

The gate stands where a body is complete, so that a slow sender holds no place.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from mlops.serving import metrics
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlops.serving.config import Limits

    Receive = Callable[[], Awaitable[dict[str, Any]]]

_RETRY_S = 1
_SMOOTHING = 0.02  # places come free in bursts, one batch at a time


class Admission:
    """The gate of one worker; used on its event loop only.

    Args:
        limits: how many are let in, and how long they may wait.
        now: a steady clock, in seconds.
    """

    def __init__(self, limits: Limits, now: Callable[[], float] = time.perf_counter) -> None:
        self._limits, self._now = limits, now
        self._most = limits.concurrent if limits.requests else 0  # none may ever wait: none may ask
        self._inside = 0
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        self._gap_s = 0.0  # between two that leave, while somebody waits
        self._moved_s = 0.0  # when the line last moved, or began

    def full(self) -> bool:
        """Say whether a request that comes now would find no place, or wait too long for one."""
        waiting = len(self._waiting)
        if waiting >= self._limits.requests:
            return True
        return waiting * self._gap_s > self._limits.wait_s

    def take(self) -> bool:
        """Take a place if there is one at once; False, and nothing done: `enter` waits for it."""
        if self._inside >= self._most or self._waiting:
            return False
        self._inside += 1
        return True

    def ticket(self, receive: Receive, due_s: float) -> Ticket:
        """Return a request's way through the gate.

        Args:
            receive: ASGI's, of the request.
            due_s: when its answer is late, by `time.perf_counter`.
        """
        return Ticket(self, receive, due_s)

    async def enter(self, due_s: float) -> None:
        """Take a place, after those who came before.

        Raises:
            Refused: 503 if too many wait already, or its turn comes too late.
        """
        if self.take():
            return
        if self.full():
            raise busy()
        if not self._waiting:
            self._moved_s = self._now()  # what was before, idle time perhaps, tells no pace
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, due_s))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()  # its turn had come in the very moment in which it was given up
            raise

    def leave(self) -> None:
        """Give the place to whoever has waited longest and is not late yet."""
        self._inside -= 1
        now_s = self._now()
        if self._waiting:
            self._gap_s += _SMOOTHING * (now_s - self._moved_s - self._gap_s)
        self._moved_s = now_s
        while self._waiting and self._inside < self._limits.concurrent:
            place, due_s = self._waiting.popleft()
            if place.done():
                continue
            if due_s < now_s:
                place.set_exception(late())
                continue
            self._inside += 1
            place.set_result(None)

    def expire(self) -> None:
        """Turn away who is late already; for when nobody leaves, because a prediction hangs."""
        now_s = self._now()
        while self._waiting and (self._waiting[0][1] < now_s or self._waiting[0][0].done()):
            place, _ = self._waiting.popleft()
            if not place.done():
                place.set_exception(late())


class Ticket:
    """One request's way through the gate: pass it as `receive`, and `close` it at the end."""

    __slots__ = ("_due_s", "_gate", "_inside", "_receive")

    def __init__(self, gate: Admission, receive: Receive, due_s: float) -> None:
        self._gate, self._receive, self._due_s = gate, receive, due_s
        self._inside = False

    async def __call__(self) -> dict[str, Any]:
        """Return the next message of the request; the last one only when its turn has come."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            await self._gate.enter(self._due_s)
            self._inside = True
        return message

    def close(self) -> None:
        """Give the place back, if it was taken."""
        if self._inside:
            self._inside = False
            self._gate.leave()


def busy() -> Refused:
    """Return the refusal of a request that finds no place to wait; its body is not read."""
    metrics.SHED.labels("queue").inc()
    return Refused(
        503, "busy", "too many requests wait already", retry_s=_RETRY_S,
        remedy="try again, more slowly",
    )  # fmt: skip


def late() -> Refused:
    """Return the refusal of a request whose turn has come too late."""
    metrics.SHED.labels("deadline").inc()
    return Refused(
        503, "deadline", "the answer would come too late", retry_s=_RETRY_S,
        remedy="try again, more slowly",
    )  # fmt: skip
