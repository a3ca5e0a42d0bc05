"""A load generator in one thread: open loop at a rate, or closed loop at full speed.

Nothing is left out: a request whose answer never came is an answer of status 0, and latencies count
from when a request was due, not from when the client got round to sending it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from benchmarks.serving_client import Ask

_MOST_CONNECTIONS = 512
_CLOSED = 64
_GRACE_S = 35.0


@dataclass(slots=True)
class Answer:
    """What became of one request.

    Attributes:
        status: of the answer; 0 if the connection broke or none came.
        latency_s: from when the request was due, so that a client that could not keep up hides
            nothing.
        late_s: of that, until it was sent; all of it if it never was.
        version: that the answer names.
        ids: of its predictions.
    """

    status: int
    latency_s: float
    late_s: float = 0.0
    version: str = ""
    ids: tuple[str, ...] = ()


class _Connection(asyncio.Protocol):
    """One kept-open connection; `answered` is called with each answer."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._due_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due_s: float) -> None:
        self._due_s, self._sent_s = due_s, time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        if len(body) < int(fields[b"content-length"]):
            return
        self._buffer = b""
        self._done(Answer(
            int(head[9:12]), 0.0, 0.0, fields.get(b"x-model-version", b"").decode(),
            tuple(fields[b"x-prediction-id"].decode().split(","))
            if b"x-prediction-id" in fields else (),
        ))  # fmt: skip

    def connection_lost(self, _exc: Exception | None) -> None:
        self.give_up()
        self._load.lost(self)

    def give_up(self) -> None:
        """Wait for an answer no longer, if one is awaited."""
        if self._due_s is not None:
            self._done(Answer(0, 0.0))

    def _done(self, answer: Answer) -> None:
        assert self._due_s is not None
        answer.latency_s = time.perf_counter() - self._due_s
        answer.late_s = self._sent_s - self._due_s
        self._due_s = None
        self._load.answered(self, answer)


class _Load:
    def __init__(self, port: int, ask: Ask) -> None:
        self.request, self.port = ask.request(), port
        self.every: set[_Connection] = set()
        self.idle: list[_Connection] = []
        self.due: deque[float] = deque()
        self.answers: list[Answer] = []
        self.opened = self.sent = 0

    async def open(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            self.opened += 1
            _, made = await loop.create_connection(
                lambda: _Connection(self), "127.0.0.1", self.port
            )
            self.every.add(made)
            self.idle.append(made)

    def answered(self, connection: _Connection, answer: Answer) -> None:
        self.answers.append(answer)
        if not connection.transport.is_closing():
            self.idle.append(connection)
        self.send()

    def lost(self, connection: _Connection) -> None:
        self.opened -= 1
        self.every.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)

    def send(self) -> None:
        while self.due and self.idle:
            self.sent += 1
            self.idle.pop().send(self.request, self.due.popleft())

    def close(self) -> None:
        """Hang up; what was not sent or not answered until now never is."""
        now_s = time.perf_counter()
        self.answers += [Answer(0, now_s - due_s, now_s - due_s) for due_s in self.due]
        self.due.clear()
        for connection in [*self.every]:
            connection.give_up()
            connection.transport.abort()


async def open_loop(port: int, ask: Ask, rate: float, seconds: float) -> list[Answer]:
    """Send `rate` requests a second; return what became of each, `rate` × `seconds` in all."""
    load = _Load(port, ask)
    await load.open(16)
    began = time.perf_counter()
    wanted, made = int(rate * seconds), 0
    while made < wanted:
        now_s = time.perf_counter()
        while made < wanted and began + made / rate <= now_s:
            load.due.append(began + made / rate)
            made += 1
        load.send()
        if load.due and load.opened < _MOST_CONNECTIONS:
            await load.open(min(16, _MOST_CONNECTIONS - load.opened))
            load.send()
        await asyncio.sleep(0.0005)
    end_s = time.perf_counter() + _GRACE_S
    while len(load.answers) < wanted and time.perf_counter() < end_s:  # noqa: ASYNC110 - polled, so that answering costs the client less
        await asyncio.sleep(0.005)
    load.close()
    return load.answers


async def closed_loop(port: int, ask: Ask, seconds: float) -> list[Answer]:
    """Keep 64 connections busy and return the answers of that time."""
    load = _Load(port, ask)
    await load.open(_CLOSED)
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        load.due.extend([time.perf_counter()] * (len(load.idle)))
        load.send()
        await asyncio.sleep(0.0005)
    answers = [a for a in load.answers if a.status == 200]
    end_s += _GRACE_S
    while load.sent > len(load.answers) and time.perf_counter() < end_s:  # noqa: ASYNC110 - polled, so that answering costs the client less
        await asyncio.sleep(0.005)
    load.close()
    return answers
