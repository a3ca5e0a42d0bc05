"""A real server with a model from elsewhere, on a free port, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from mlops.adapters import seal
from mlops.serving.config import Limits, ServingConfig
from mlops.serving.foreign.worker import build
from mlops.serving.pointer import Pointer, write_pointer
from mlops.serving.supervisor import bind
from mlops.serving.worker import uvicorn_config
from tests.serving.conftest import Quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.serving.app import App


@contextmanager
def asking(folder: Path, home: Path, **changes: object) -> Iterator[tuple[httpx.Client, App]]:
    """Serve a model's folder; give a client, once the model is loaded."""
    home.mkdir(parents=True, exist_ok=True)
    write_pointer(home, Pointer("3", str(folder), seal.write_manifest(folder), 1.0))
    values = {"project": "theirs", "home": str(home), "spool": "", "database_url": "",
              "watch_s": 0.02, "limits": Limits(rows=100)}  # fmt: skip
    app, loading = build(ServingConfig(**{**values, **changes}))  # type: ignore[arg-type]
    listener = bind("127.0.0.1", 0)
    server = Quiet(uvicorn_config(app), app, loading)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
    )
    thread.start()
    host, port = listener.getsockname()
    try:
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=20) as client:
            end_s = time.monotonic() + 30
            while client.get("/ping").status_code != 200:
                assert time.monotonic() < end_s
                time.sleep(0.01)
            yield client, app
    finally:
        server.should_exit = True
        thread.join(10)
        app.log.close()
