"""HTTP/1.1 below the application: heads are bounded as they arrive, and errors have our shape."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mlops.serving.cycle import Cycle
from mlops.serving.reply import Refused

MAX_HEAD_BYTES = 32 << 10
"""Of the request line and all headers together; the parser itself knows no limit."""
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class Protocol(HttpToolsProtocol):
    """Uvicorn's fast protocol with a limit on heads, and a short road for what comes whole.

    The limit holds on bytes as they come, so that a head without end costs no more than it, nor do
    lines after a body. A head that came in fewer bytes, with the body's or not, is not measured.

    A request is begun when its last byte was read, if that came with the first; then
    `mlops.serving.direct` may answer it. Otherwise it gets a task, and the body as it comes.
    """

    keep_alive = True
    _fed = 0
    _in_head = True
    _too_large = False
    _to_begin = False
    _idle_since_s: float | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._at_once = getattr(self.app, "at_once", None)
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count the time without a request: who connects may never send one."""
        super().connection_made(transport)
        self._idle_since_s = self.loop.time()
        self._watch_idleness(self.timeout_keep_alive)

    def on_message_begin(self) -> None:
        """Begin to collect a head."""
        self.url, self.headers, self._in_head = b"", [], True
        if self._idle_since_s is not None:
            self._idle_since_s = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Look at what is asked; what follows is the body, which has limits of its own."""
        self._in_head, self._idle_since_s = False, None
        if self._fed > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            self._too_large = True
            raise ValueError(_too_large())  # ends the parsing; answered in send_400_response
        self._place = _place(self.url)
        self._fed = 0
        parser = self.parser
        self.keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        self._to_begin = True

    def on_body(self, body: bytes) -> None:
        """Collect a part of the body, or hand it to the task that awaits it."""
        self._fed = 0
        if self._to_begin:
            self._parts.append(body)
        else:
            super().on_body(body)

    def on_chunk_header(self) -> None:
        """Begin to count anew: what is not the body is lines between its parts."""
        self._fed = 0

    def on_message_complete(self) -> None:
        """Answer what is whole, or tell the task that reads it."""
        self._fed = 0
        if self._to_begin:
            self._to_begin = False
            if self.transport.is_closing() or self._answers_at_once():
                return
            self._begin_task()
        super().on_message_complete()

    def _answers_at_once(self) -> bool:
        """Take the short road, if there is one for what is asked; see `mlops.serving.direct`."""
        before: Any = self.cycle  # None at first, whatever its type says
        path, _, query = self._place
        if query or self.flow.write_paused or (before and not before.response_complete):
            return False
        if self._at_once is None or self.parser.get_method() != b"POST":
            return False
        direct = self._at_once(self, path, b"".join(self._parts))
        if direct is None:
            return False
        self.cycle, self._parts = direct, []
        return True

    def _begin_task(self) -> None:
        """Take the long road: a task that is given the body as it comes."""
        path, raw_path, query = self._place
        scope: Any = {
            "type": "http", "asgi": _ASGI, "http_version": self.parser.get_http_version(),
            "server": self.server, "client": self.client, "scheme": self.scheme, "root_path": "",
            "method": self.parser.get_method().decode("ascii"), "path": path,
            "raw_path": raw_path, "query_string": query, "headers": self.headers,
        }  # fmt: skip
        expects = any(n == b"expect" and v.lower() == b"100-continue" for n, v in self.headers)
        before: Any = self.cycle  # None at first, whatever its type says
        self.scope = scope
        self.cycle = Cycle(
            self.scope, self.transport, self.flow, self.logger, self.access_logger,
            access_log=False, default_headers=[], message_event=asyncio.Event(),
            expect_100_continue=expects, keep_alive=self.keep_alive,
            on_response=self.on_response_complete,
        )  # fmt: skip
        if before and not before.response_complete:  # asked too early: one after the other
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start(self.cycle)
        parts, self._parts = self._parts, []
        for part in parts:
            super().on_body(part)

    def _start(self, cycle: RequestResponseCycle) -> None:
        task = self.loop.create_task(cycle.run_asgi(self.app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        """Begin what waits behind it, or to count the time without a request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop()[0])
            return
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idleness(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nobody has asked for long; else look again in time.

        A head that has begun and not ended is no request yet, however often a byte of it comes.
        """
        self.timeout_keep_alive_task = None
        if self._idle_since_s is None or self.transport.is_closing():
            return
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s <= 0 and self._in_head and self._fed:
            self._refuse(Refused(408, "slow_head", "the head did not arrive in time", close=True))
        elif left_s <= 0:
            self.transport.close()
        else:
            self._watch_idleness(left_s)

    def _watch_idleness(self, after_s: float) -> None:
        """Set the one timer of a connection; one for every answer would cost more than its head."""
        self.timeout_keep_alive_task = self.loop.call_later(
            after_s, self.timeout_keep_alive_handler
        )

    def _unset_keepalive_if_required(self) -> None:
        """Keep the timer: it ends with the connection, and idle time with a whole head."""
        if self.transport.is_closing() and self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def data_received(self, data: bytes) -> None:
        """Read bytes, unless they have gone on for too long without ending a head.

        A header that is not complete the parser keeps to itself: it is bounded here.
        """
        self._fed += len(data)
        super().data_received(data)
        if self._to_begin:  # the rest of the body is still on its way
            self._to_begin = False
            if not self.transport.is_closing():
                self._begin_task()
        if self._fed > MAX_HEAD_BYTES:
            self._refuse(_too_large())

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or too much of it, in the one shape of our errors."""
        del msg  # the parser's words
        if self._too_large:
            self._refuse(_too_large())
        else:
            self._refuse(Refused(400, "no_http", "not HTTP", remedy="send HTTP/1.1", close=True))

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

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


@lru_cache(maxsize=64)
def _place(url: bytes) -> tuple[str, bytes, bytes]:
    """Return the path of a request's target, decoded and as it came, and its query."""
    found = httptools.parse_url(url)
    path = found.path.decode("ascii")
    return unquote(path) if "%" in path else path, found.path, found.query or b""


def _too_large() -> Refused:
    return Refused(
        431, "head_too_large", f"path and headers exceed {MAX_HEAD_BYTES} bytes",
        remedy="send what is large in the body", close=True,
    )  # fmt: skip
