"""Answers as they leave: head and body in one piece.

Uvicorn writes them apart: each is a system call of the server and wakes the client. It also checks
every header against two patterns; ours are made of what was checked when it came in.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    Headers = Sequence[tuple[bytes, bytes]]

_CLOSE = (b"connection", b"close")


class Exchange(Protocol):
    """One request whose answer is due; uvicorn's own names.

    Attributes:
        transport: where it came from.
        keep_alive: whether more requests may follow on that connection.
        response_complete: whether the answer was written.
        on_response: is called when it was.
    """

    transport: asyncio.Transport
    keep_alive: bool
    response_complete: bool
    on_response: Callable[..., None]


def write(exchange: Exchange, status: int, headers: Headers, body: bytes) -> None:
    """Write an answer, and close the connection if that is not kept.

    Raises:
        RuntimeError: for a header that holds a line's end; then nothing was written.
    """
    if _CLOSE in headers:
        exchange.keep_alive = False
    elif not exchange.keep_alive:
        headers = [*headers, _CLOSE]
    lines = b"%b: %b\r\n" * len(headers) % (*chain.from_iterable(headers),)
    if len(lines.splitlines()) != len(headers):
        raise RuntimeError("a header holds the end of a line")
    exchange.transport.write(b"".join((STATUS_LINE[status], lines, b"\r\n", body)))
    exchange.response_complete = True
    if not exchange.keep_alive:
        exchange.transport.close()
    exchange.on_response()


class Cycle(RequestResponseCycle):
    """Uvicorn's cycle, for a request that has a task, and answers of known length in one part."""

    _start: Mapping[str, Any] | None = None

    async def send(self, message: Mapping[str, Any]) -> None:
        """Keep the head until the body is there, then write both.

        Raises:
            RuntimeError: for an answer in several parts, or a header that holds a line's end.
        """
        if self._start is None:
            self._start = message
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.response_started = True
        if message.get("more_body"):
            raise RuntimeError("answers in several parts are not sent")
        body = b"" if self.scope["method"] == "HEAD" else message["body"]
        write(self, self._start["status"], self._start["headers"], body)
        self.message_event.set()

    async def receive(self) -> Any:
        """Return the next part of the body; at once if it is there."""
        if not self.message_event.is_set() or self.waiting_for_100_continue:
            return await super().receive()
        self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        self.flow.resume_reading()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}
