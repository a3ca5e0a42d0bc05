"""The client of the serving benchmark: 64 kept-open connections, each asking again at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import cast

CONNECTIONS = 64
_MOST_S = 60.0


@dataclass(frozen=True)
class Ask:
    """What is asked.

    Attributes:
        path: of the route.
        kind: media type of the body.
        body: its bytes.
        rows: in the body.
        token: bearer token; empty for none.
    """

    path: str
    kind: str
    body: bytes
    rows: int = 1
    token: str = ""

    def request(self) -> bytes:
        """Return the whole HTTP request."""
        shown = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {self.kind}\r\n"
            f"{shown}Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class _Connection(asyncio.Protocol):
    """One connection that sends the same request again as soon as it is answered."""

    def __init__(self, request: bytes, latencies_s: list[float], refused: list[bytes]) -> None:
        self._request, self._latencies_s, self._refused = request, latencies_s, refused
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._refused.append(self._buffer[:300])
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._buffer = b""
        self._latencies_s.append(time.perf_counter() - self._started)
        self._send()


async def load(
    port: int, ask: Ask, seconds: float, connections: int = CONNECTIONS
) -> tuple[list[float], float]:
    """Ask for some seconds, or until there is an answer for each connection if that is longer.

    Args:
        port: on loopback.
        ask: what.
        seconds: for how long.
        connections: how many at once.

    Returns:
        The latencies of the answers, and how long it took, both in seconds.

    Raises:
        RuntimeError: if a request was refused: the rate would be that of the others.
    """
    latencies_s: list[float] = []
    refused: list[bytes] = []
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(
            lambda: _Connection(ask.request(), latencies_s, refused), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    began_s = time.perf_counter()
    await asyncio.sleep(seconds)
    while len(latencies_s) < connections and time.perf_counter() - began_s < _MOST_S:  # noqa: ASYNC110 - polled: answers are counted elsewhere
        await asyncio.sleep(0.05)
    took_s = time.perf_counter() - began_s
    for transport, _ in made:
        transport.abort()
    if refused:
        raise RuntimeError(f"{len(refused)} refused: {refused[0]!r}")
    return latencies_s, took_s
