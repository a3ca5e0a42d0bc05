"""HTTP/1.1 below the application: heads are bounded as they arrive, and errors have our shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlops.serving.joined import Joined
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    import asyncio

MAX_HEAD_BYTES = 32 << 10
"""Of the request line and all headers together; the parser itself knows no limit."""
_PHRASES = {400: "Bad Request", 431: "Request Header Fields Too Large"}


class Protocol(HttpToolsProtocol):
    """Uvicorn's fast protocol with a limit on heads.

    The limit holds on bytes as they come, so that a head without end costs no more than it.
    """

    _head_bytes = 0
    _unended = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Send head and body of each answer together."""
        super().connection_made(Joined(transport))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._head_bytes, self._in_head = 0, True

    def on_url(self, url: bytes) -> None:
        """Count the path."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one header."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Count no more: what follows is the body, which has limits of its own."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read bytes, unless they have gone on for too long without ending a head.

        A header that is not complete the parser keeps to itself: it is bounded here.
        """
        super().data_received(data)
        self._unended = self._unended + len(data) if self._in_head else 0
        if self._unended > MAX_HEAD_BYTES:
            self._refuse(_too_large())

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or too much of it, in the one shape of our errors."""
        del msg  # the parser's words
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_too_large())
        else:
            self._refuse(Refused(400, "no_http", "not HTTP", remedy="send HTTP/1.1", close=True))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError(_too_large())  # ends the parsing; answered in send_400_response

    def _refuse(self, refused: Refused) -> None:
        if self.transport.is_closing():
            return
        reply = refused.reply()
        headers: list[Any] = [
            (b"content-type", reply.media_type),
            (b"content-length", str(len(reply.body)).encode()),
            *reply.headers,
        ]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        first = f"HTTP/1.1 {reply.status} {_PHRASES[reply.status]}\r\n".encode()
        self.transport.write(b"".join([first, *lines, b"\r\n", reply.body]))
        self.transport.close()


def _too_large() -> Refused:
    return Refused(
        431, "head_too_large", f"path and headers exceed {MAX_HEAD_BYTES} bytes",
        remedy="send what is large in the body", close=True,
    )  # fmt: skip
