"""The supervisor: one socket, N workers, one follower; respawns what dies, drains at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from mlops.adapters import files
from mlops.errors import EXIT_ERROR, UsageError
from mlops.params.name import project_name
from mlops.serving.config import DRAIN_S, EXIT_NO_MODEL, ServingConfig, check_address

if TYPE_CHECKING:
    from types import FrameType

    from mlops.layout import Layout
    from mlops.settings import Settings

_TICK_S = 0.2
_QUICK_S = 2.0  # a child that lives shorter is respawned ever more slowly, up to …
_SLOWEST_S = 4.0


@dataclass
class Child:
    """A process that is to be there.

    Attributes:
        command: what to run.
        environment: its whole environment.
        descriptors: file descriptors that it inherits.
    """

    command: list[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    _started_s: float = 0.0
    _again_s: float = 0.0
    _pause_s: float = field(default=0.1)

    def start(self) -> None:
        """Start it, in a process group of its own so that Ctrl-C reaches only the supervisor."""
        self.process = subprocess.Popen(
            self.command, env=self.environment, pass_fds=self.descriptors, process_group=0
        )
        self._started_s = time.monotonic()

    def tend(self, now_s: float) -> int | None:
        """Start it again if it has died and its pause is over; return the exit code of a death."""
        if self.process is None:
            if now_s >= self._again_s:
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            return None
        quick = now_s - self._started_s < _QUICK_S
        self._pause_s = min(self._pause_s * 2, _SLOWEST_S) if quick else 0.1
        self._again_s = now_s + self._pause_s
        self.process = None
        return code

    def stop(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, until_s: float) -> None:
        """Wait for its end; after `until_s` (monotonic) end it."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Runs one server until a signal comes."""

    def __init__(
        self, layout: Layout, settings: Settings, *, host: str, port: int, workers: int
    ) -> None:
        self._project = project_name(layout.params)
        self._home = layout.serving / self._project
        token = settings.token.get_secret_value()
        check_address(host, token)
        self._config = ServingConfig(
            project=self._project, home=str(self._home), spool=str(layout.spool),
            database_url=settings.database(layout), token=token,
            keep_payloads=settings.payloads == "keep",
        )  # fmt: skip
        self._listener = bind(host, port)
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        self._metrics_host, self._metrics_port = settings.metrics_host, settings.metrics_port
        self._stopping = False
        environment = self._environment(layout, settings)
        python = [sys.executable, "-m"]
        fd = self._listener.fileno()
        self._follower = Child([*python, "mlops.serving.following"], environment)
        self._workers = [
            Child([*python, "mlops.serving.worker", str(fd)], environment, (fd,))
            for _ in range(workers)
        ]

    def run(self) -> int:
        """Serve until SIGTERM or Ctrl-C; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        metrics_at = self._serve_metrics()
        for child in (self._follower, *self._workers):
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
            if child.tend(now_s) is not None:
                self._forget_metrics(pid)
                print(f"worker {pid} died; starting another", file=sys.stderr, flush=True)  # noqa: T201
        if self._follower.tend(now_s) == EXIT_NO_MODEL:
            return EXIT_ERROR
        return 0

    def _announce(self, said: str, metrics_at: str) -> str:
        """Print one line when ready, and one before that if there is nothing to serve."""
        if said == "ready":
            return said
        version, waiting = _health(self.address)
        if version:
            print(  # noqa: T201 - the terminal is where this verb speaks
                f"serving {self._project} version {version} at http://{self.address}"
                f" (metrics: http://{metrics_at}/metrics)", flush=True,
            )  # fmt: skip
            return "ready"
        if waiting and not said and not (self._home / "current.json").exists():
            print(f"http://{self.address} waits for a champion of {self._project}", flush=True)  # noqa: T201
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
        self._follower.stop()
        self._follower.wait(time.monotonic() + 15)

    def _environment(self, layout: Layout, settings: Settings) -> dict[str, str]:
        folder = self._home / "metrics"
        files.remove(folder)
        folder.mkdir(parents=True)
        return {
            **os.environ,
            **self._config.environment(),
            "MLOPS_ROOT": str(layout.root),
            "MLOPS_LOG_LEVEL": settings.log_level,
            "PROMETHEUS_MULTIPROC_DIR": str(folder),
            "OMP_NUM_THREADS": "1",
        }

    def _serve_metrics(self) -> str:
        from prometheus_client import CollectorRegistry, start_http_server
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._home / "metrics"))  # type: ignore[no-untyped-call]
        try:
            server, _ = start_http_server(self._metrics_port, self._metrics_host, registry)
        except OSError as error:
            msg = f"MLOPS_METRICS_PORT={self._metrics_port}: {error.strerror}; choose another"
            raise UsageError(msg) from None
        return f"{self._metrics_host}:{server.server_port}"

    def _forget_metrics(self, pid: int) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, str(self._home / "metrics"))  # type: ignore[no-untyped-call]

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


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


def _health(address: str) -> tuple[str, bool]:
    """Return the version in service, if any, and whether a worker answered at all."""
    connection = HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException):
        return "", False
    finally:
        connection.close()
    return (answer.getheader("x-model-version") or "") if answer.status == 200 else "", True
