"""The supervisor: one socket, N workers, one follower; respawns what dies, drains at the end."""

from __future__ import annotations

import signal
import socket
import ssl
import sys
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters import files
from mlops.adapters.onnx_session import gpus, lacking
from mlops.errors import EXIT_ERROR, UsageError
from mlops.serving import counted
from mlops.serving.child import Child
from mlops.serving.config import DRAIN_S, EXIT_NO_MODEL, HUNG_S, is_loopback
from mlops.serving.exposition import serve_metrics
from mlops.serving.setup import check_columns, environment, foreign_config, serving_config
from mlops.serving.terminal import say
from mlops.serving.tokens import Guard

if TYPE_CHECKING:
    from types import FrameType

    from mlops.layout import Layout
    from mlops.settings import Settings

_TICK_S = 0.2


class Supervisor:
    """Runs one server until a signal comes."""

    def __init__(
        self,
        layout: Layout,
        settings: Settings,
        *,
        host: str,
        port: int,
        workers: int,
        model: str = "",
    ) -> None:
        self._config = serving_config(layout, settings, host=host, workers=workers)
        self._note = ""
        if model:
            self._config, self._note = foreign_config(layout, settings, self._config, model)
        else:
            check_columns(layout, settings, self._config.project)
        if not model and settings.serve_provider == "auto" and gpus():
            self._note = (
                f"; on the {'GPU' if self._config.provider == 'cuda' else 'CPU: '}{lacking()}"
            )
        self._project, self._home = self._config.project, self._config.folder
        self._listener = bind(host, port)
        port = self._listener.getsockname()[1]
        self.address = f"{_written(host)}:{port}"
        self._local = f"{_written(_reachable(host))}:{port}"
        self._url = f"{'https' if self._config.tls[0] else 'http'}://{self.address}"
        self._metrics_host, self._metrics_port = settings.metrics_host, settings.metrics_port
        self._stopping = False
        told = environment(layout, settings, self._config)
        alive = self._home / "alive"
        files.remove(alive)
        alive.mkdir(parents=True)
        # A model from elsewhere follows no alias, and nothing that it answers is logged.
        self._follower = None if model else _child("following", "follower", told)
        module, fd = ("foreign.worker" if model else "worker"), self._listener.fileno()
        self._workers = [_child(module, f"worker{n}", told, fd, beat=alive) for n in range(workers)]

    def run(self) -> int:
        """Serve until SIGTERM or Ctrl-C; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_hup)
        metrics_at = self._serve_metrics()
        for child in (*([self._follower] if self._follower else []), *self._workers):
            child.start()
        code = 0
        said = ""
        while not self._stopping:
            code = self._tend()
            if code:
                break
            said = self._announce(said, metrics_at)
            time.sleep(_TICK_S)
        self._drain()
        return code

    def _tend(self) -> int:
        now_s = time.monotonic()
        for child in self._workers:
            pid = child.process.pid if child.process else 0
            if child.silent_s(now_s) > HUNG_S:
                say(f"worker {pid} hangs; it is ended", sys.stderr)
                child.tell(signal.SIGKILL)
            code = child.tend(now_s)
            if code is not None:
                counted.forget(self._home / "metrics", child.environment[counted.PLACE])
                say(f"worker {pid} died ({_ended(code)}); starting another", sys.stderr)
        if self._follower and self._follower.tend(now_s) == EXIT_NO_MODEL:
            return EXIT_ERROR
        return 0

    def _announce(self, said: str, metrics_at: str) -> str:
        """Print one line when ready, and one before that if there is nothing to serve."""
        if said == "ready":
            return said
        version, waiting = _health(self._local, tls=bool(self._config.tls[0]))
        if version:
            say(
                f"serving {self._project} version {version} at {self._url}"
                f" (metrics: http://{metrics_at}/metrics){self._note}"
            )
            return "ready"
        if waiting and not said and not (self._home / "current.json").exists():
            say(f"{self._url} waits for a champion of {self._project}")
            return "waiting"
        return said

    def _drain(self) -> None:
        """Workers first: what they still answer must reach the spool before the follower ends."""
        for child in self._workers:
            child.stop()
        self._listener.close()
        until_s = time.monotonic() + DRAIN_S + 5
        for child in self._workers:
            child.wait(until_s)
        if self._follower:
            self._follower.stop()
            self._follower.wait(time.monotonic() + 15)

    def _serve_metrics(self) -> str:
        host = self._metrics_host
        tokens = Path(self._config.tokens)
        guard = None if is_loopback(host) else Guard(tokens, self._config.token, closed=True)
        # On this machine nobody listens in between, and Prometheus' agent needs no certificate.
        tls = ("", "") if guard is None else self._config.tls
        port = serve_metrics(self._home / "metrics", host, self._metrics_port, guard, tls)
        return f"{_written(host)}:{port}"

    def _on_hup(self, _number: int, _frame: FrameType | None) -> None:
        """Let the follower look at the registry now."""
        if self._follower:
            self._follower.tell(signal.SIGHUP)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _child(
    module: str, place: str, told: dict[str, str], *descriptors: int, beat: Path | None = None
) -> Child:
    """Return a process of the server; whoever replaces it has its place."""
    command = [sys.executable, "-m", f"mlops.serving.{module}"]
    return Child(
        [*command, *map(str, descriptors)], told | {counted.PLACE: place}, descriptors, beat=beat
    )


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket that child processes share.

    Raises:
        UsageError: if the address is taken or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        msg = f"MLOPS_SERVE_PORT={port} on {host}: {error.strerror}; choose another port"
        raise UsageError(msg) from None
    # Listening from here on: who connects before a worker is up waits instead of being refused.
    listener.listen(2048)
    return listener


def _ended(code: int) -> str:
    """Return how a process ended: by which signal, or with which exit code."""
    if code >= 0:
        return f"exit code {code}"
    return signal.strsignal(-code) or f"signal {-code}"


def _reachable(host: str) -> str:
    """Return an address under which this machine reaches what listens on all of its own."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is compared


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _health(address: str, *, tls: bool) -> tuple[str, bool]:
    """Return the version in service, if any, and whether a worker answered at all."""
    connection = HTTPConnection(address, timeout=2)
    if tls:
        # Our own process on our own socket, asked by its address: its certificate names the host.
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(address, timeout=2, context=trusting)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException):
        return "", False
    finally:
        connection.close()
    return (answer.getheader("x-model-version") or "") if answer.status == 200 else "", True
