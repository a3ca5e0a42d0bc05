"""A real HTTP server that answers as it is told: busy, slow, gone, strange."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROW = {
    "prediction_id": "a1", "class": "one", "label": 1, "probability": 0.75,
    "probabilities": {"zero": 0.25, "one": 0.75}, "more": [1, 2],
}  # fmt: skip
GOOD = json.dumps({"model_version": "3", **ROW})


@dataclass
class Say:
    """One answer; `hang_up` closes the connection after the request was read."""

    status: int = 200
    body: str = GOOD
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    drip_s: float = 0.0


@dataclass
class Heard:
    """One request."""

    path: str
    authorization: str | None
    body: bytes
    at_s: float


def refusal(status: int, code: str, **headers: str) -> Say:
    error = {"code": code, "message": "not now", "field": None, "remedy": "come back"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Say(status, json.dumps({"error": error}), named)


@dataclass
class Scripted:
    """Its address, what it was asked; after the script's end the last answer is repeated."""

    url: str
    heard: list[Heard] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        heard, script = self.server.found.heard, self.server.script
        heard.append(Heard(self.path, self.headers.get("authorization"), body, time.monotonic()))
        self._say(script[min(len(heard), len(script)) - 1])

    def do_GET(self) -> None:
        self.do_POST()

    def _say(self, say: Say) -> None:
        if say.hang_up:
            self.close_connection = True
            self.connection.close()
            return
        content = say.body.encode()
        self.send_response(say.status)
        for name, value in say.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        for byte in content if say.drip_s else ():
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(say.drip_s)
        if not say.drip_s:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # the client has had enough, as it should
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, found: Scripted, script: tuple[Say, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.found, self.script = found, script


@contextmanager
def scripted(*script: Say) -> Iterator[Scripted]:
    found = Scripted("")
    server = _Server(found, script)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
