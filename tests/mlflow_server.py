"""A real `mlflow server` on a root's own database, as `mlops up` runs and announces it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops.adapters.parts import PartState, write_parts
from mlops.log import QUIET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.layout import Layout

_START_S = 180.0


@contextmanager
def mlflow_server(layout: Layout) -> Iterator[str]:
    """Serve a root's MLflow for the length of a block, and say so in its `.mlops/parts.json`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    uri = f"sqlite:///{layout.mlflow_db}"
    server = subprocess.Popen(
        [
            *command, "--backend-store-uri", uri, "--default-artifact-root",
            str(layout.mlartifacts), "--artifacts-destination", str(layout.mlartifacts),
        ],
        # Its own code is not ours to measure.
        env={k: v for k, v in os.environ.items() if not k.startswith("COV")} | QUIET,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _await(server, f"{address}/health")
        state = PartState("mlflow", address, f"{address}/health", "up", server.pid)
        write_parts(layout, os.getpid(), [state])
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _await(server: subprocess.Popen[bytes], url: str) -> None:
    end_s = time.monotonic() + _START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5)  # noqa: S310 - our own address
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "the MLflow server ended"
            assert time.monotonic() < end_s, "the MLflow server did not start"
            time.sleep(0.2)
        else:
            return
