"""`/metrics`, on a port of its own: whoever asks from another machine shows a token there, too."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from mlops.errors import UsageError
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

    from mlops.serving.tokens import Guard


_AT_ONCE = 16
_DEADLINE_S = 10.0


class _Server(ThreadingMixIn, WSGIServer):
    """A few threads, and a few seconds for each: slow clients hold up nobody for long."""

    daemon_threads = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread, if there is one left."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, in so many seconds."""
        timer = threading.Timer(_DEADLINE_S, _end, [request])
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are slow, or speak something else."""


class _Server6(_Server):
    address_family = socket.AF_INET6


def _end(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base's name for it
        """Say nothing: a scrape every few seconds is no news."""


def serve_metrics(
    folder: Path, host: str, port: int, guard: Guard | None, tls: tuple[str, str] = ("", "")
) -> int:
    """Answer in a thread with what every worker has counted; return the port.

    Args:
        folder: of the workers' counts.
        host: address to listen on.
        port: 0 for any that is free.
        guard: who may ask; None for everybody.
        tls: files of the certificate and its key; empty for plain HTTP.

    Raises:
        UsageError: if the address is taken or not of this machine.
    """
    from prometheus_client import CollectorRegistry, make_wsgi_app
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    counts = make_wsgi_app(registry)
    kind = _Server6 if ":" in host else _Server
    try:
        server = make_server(host, port, guarded(counts, guard), kind, _Handler)
    except OSError as error:
        msg = f"MLOPS_METRICS_PORT={port} on {host}: {error.strerror}; choose another"
        raise UsageError(msg) from None
    if tls[0]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        # The handshake is the thread's, for a client that never ends it must not hold up others.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)


def guarded(app: Callable[..., Iterable[bytes]], guard: Guard | None) -> Callable[..., Any]:
    """Return a WSGI application that asks for a token before another answers."""

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if guard is not None:
            try:
                guard.refresh()
                guard.find(environ.get("HTTP_AUTHORIZATION", "").encode("latin-1"))
            except UsageError:
                return _refuse(start, "503 Service Unavailable", b"the file of tokens is wrong\n")
            except Refused:
                return _refuse(start, "401 Unauthorized", b"a bearer token is needed\n")
        return app(environ, start)

    return answer


def _refuse(start: StartResponse, status: str, body: bytes) -> Iterable[bytes]:
    start(status, [("content-type", "text/plain"), ("www-authenticate", "Bearer")])
    return [body]
