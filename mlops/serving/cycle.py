"""One request and its answer, whose head and body leave in one piece.

Uvicorn writes them apart: each is a system call of the server and wakes the client. It also checks
every header against two patterns; ours are made of what was checked when it came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLOSE = (b"connection", b"close")


class Cycle(RequestResponseCycle):
    """Uvicorn's cycle for answers of known length in one part."""

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
        self.transport.write(self._written(self._start, message))
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

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

    def _written(self, start: Mapping[str, Any], end: Mapping[str, Any]) -> bytes:
        if end.get("more_body"):
            raise RuntimeError("answers in several parts are not sent")
        headers = start["headers"]
        if _CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers = [*headers, _CLOSE]
        lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        if not lines.count(b"\n") == lines.count(b"\r") == len(headers):
            raise RuntimeError("a header holds the end of a line")
        body = b"" if self.scope["method"] == "HEAD" else end["body"]
        return b"".join((STATUS_LINE[start["status"]], lines, b"\r\n", body))
