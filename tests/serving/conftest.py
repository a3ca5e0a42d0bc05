"""A real server on a free port, in a thread of its own, serving a tiny real model version."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mlops.serving.config import Limits, ServingConfig
from mlops.serving.supervisor import bind
from mlops.serving.worker import Server, build, uvicorn_config
from mlops.serving.writer import Writer
from tests.serving.tiny import make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops.serving.app import App

PROJECT = "tiny"


@dataclass
class Running:
    """A server under test."""

    url: str
    app: App
    config: ServingConfig
    home: Path
    spool: Path
    server: Server

    def write_log(self) -> int:
        """Move what is spooled into the database now."""
        time.sleep(self.config.limits.flush_s * 3)
        return Writer(self.spool, PROJECT, self.config.database_url).drain()


class Quiet(Server):
    """A server that leaves the test process's signals alone."""

    def capture_signals(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()


@contextmanager
def running(tmp_path: Path, *, version: str | None = "1", **changes: object) -> Iterator[Running]:
    """Serve until the block ends."""
    home, spool = tmp_path / "serving", tmp_path / "spool"
    if version is not None:
        make_version(home, version)
        point(home, version)
    values: dict[str, object] = {
        "project": PROJECT, "home": str(home), "spool": str(spool),
        "database_url": f"sqlite:///{tmp_path / 'mlops.db'}", "watch_s": 0.05,
        "limits": Limits(body_s=0.5, flush_s=0.02),
    }  # fmt: skip
    config = ServingConfig(**{**values, **changes})  # type: ignore[arg-type]
    app, watcher = build(config)
    listener = bind("127.0.0.1", 0)
    server = Quiet(uvicorn_config(app), app, watcher)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
    )
    thread.start()
    while not server.started:
        time.sleep(0.005)
    host, port = listener.getsockname()
    try:
        yield Running(f"http://{host}:{port}", app, config, home, spool, server)
    finally:
        server.should_exit = True
        thread.join(10)
        app.log.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Return a function that starts one server with changed settings."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(running(tmp_path, **changes))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return one server for all tests of a module that only ask."""
    with running(tmp_path_factory.mktemp("shared")) as found:
        yield found


@pytest.fixture
def client(shared: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url, timeout=10) as found:
        yield found
