"""A load generator in one thread: open loop at a rate, or closed loop at full speed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import cast

_MOST_CONNECTIONS = 512
_CLOSED = 64
_GRACE_S = 35.0


@dataclass(slots=True)
class Answer:
    """One answered request; status 0 for a connection that broke.

    `latency_s` counts from when the request was due, so that a client that could not keep up
    hides nothing.
    """

    status: int
    latency_s: float
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
        self._due_s = due_s
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
            int(head[9:12]), 0.0, fields.get(b"x-model-version", b"").decode(),
            tuple(fields[b"x-prediction-id"].decode().split(","))
            if b"x-prediction-id" in fields else (),
        ))  # fmt: skip

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._due_s is not None:
            self._done(Answer(0, 0.0))
        self._load.lost(self)

    def _done(self, answer: Answer) -> None:
        assert self._due_s is not None
        answer.latency_s = time.perf_counter() - self._due_s
        self._due_s = None
        self._load.answered(self, answer)


class _Load:
    def __init__(self, port: int, body: bytes) -> None:
        head = (
            "POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.request, self.port = head.encode() + body, port
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
            self.idle.append(made)

    def answered(self, connection: _Connection, answer: Answer) -> None:
        self.answers.append(answer)
        if not connection.transport.is_closing():
            self.idle.append(connection)
        self.send()

    def lost(self, connection: _Connection) -> None:
        self.opened -= 1
        if connection in self.idle:
            self.idle.remove(connection)

    def send(self) -> None:
        while self.due and self.idle:
            self.sent += 1
            self.idle.pop().send(self.request, self.due.popleft())

    def close(self) -> None:
        for connection in [*self.idle]:
            connection.transport.abort()


async def open_loop(port: int, body: bytes, rate: float, seconds: float) -> list[Answer]:
    """Send `rate` requests a second and return every answer, those that came late included."""
    load = _Load(port, body)
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


async def closed_loop(port: int, body: bytes, seconds: float) -> list[Answer]:
    """Keep 64 connections busy and return the answers of that time."""
    load = _Load(port, body)
    await load.open(_CLOSED)
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        load.due.extend([time.perf_counter()] * (len(load.idle)))
        load.send()
        await asyncio.sleep(0.0005)
    answers = [a for a in load.answers if a.status == 200]
    while load.sent > len(load.answers):  # noqa: ASYNC110 - polled, so that answering costs the client less
        await asyncio.sleep(0.005)
    load.close()
    return answers
