"""A worker without a model takes nobody's request while another one could answer it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from prometheus_client import REGISTRY

from mlops.adapters.files import write_json
from mlops.serving.config import ServingConfig
from mlops.serving.supervisor import bind
from mlops.serving.worker import build, uvicorn_config
from tests.serving.conftest import Quiet, running
from tests.serving.lines import Line, Said, serving_group, until
from tests.serving.tiny import images, make_version, point

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.site import Site
    from tests.serving.lines import Group

PROJECT = "digits"
_FAILURES = "mlops_model_load_failures_total"
BODY = json.dumps({"inputs": images(1).tolist()}).encode()
_HEAD = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUEST = f"{_HEAD}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY


@pytest.fixture
def group(site: Site) -> Iterator[Group]:
    """Serve a cached version with two workers; nobody mends the copy, the registry being away."""
    home = site.layout.serving / PROJECT
    make_version(home, "1")
    point(home, "1")
    with serving_group(site, MLOPS_MLFLOW_URI="http://127.0.0.1:9", MLOPS_POLL_S="3600") as found:
        # The follower takes seconds to come up, and then looks at the copy once.
        until(lambda: found.metric("mlops_registry_errors_total") > 0)
        yield found


def test_who_cannot_load_what_is_served_leaves_requests_to_who_has_it(
    group: Group, site: Site
) -> None:
    """Its copy was damaged after the others had loaded it: their answers are still good."""
    [victim, healthy] = group.workers()
    model = site.layout.serving / PROJECT / "1" / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    os.kill(victim, signal.SIGKILL)
    until(lambda: group.metric("mlops_model_load_failures_total") > 0)
    assert _answered_after(group.port, psutil.Process(healthy), 2.0)

    model.write_bytes(whole)  # from here on it may take its part
    [fresh] = set(group.workers()) - {healthy}
    psutil.Process(healthy).suspend()
    try:
        assert Line(group.port, Said()).ask("anybody", images(1)) == "1"
    finally:
        psutil.Process(healthy).resume()
    assert fresh in group.workers()


def _answered_after(port: int, healthy: psutil.Process, seconds: float) -> bool:
    """Say whether a request finds an answer, though the only one who has it comes to it late."""
    healthy.suspend()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(REQUEST)
            connection.settimeout(seconds)
            try:
                return connection.recv(4096).startswith(b"HTTP/1.1 200")
            except TimeoutError:
                healthy.resume()
            connection.settimeout(20)
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        healthy.resume()


def _post(url: str) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return httpx.post(url + "/invocations", content=BODY, timeout=20, headers=headers)


NAMED = {"sound": (200, ""), "damaged": (503, "no_model"), "none": (503, "no_model")}
"""What the pointer names when a worker is asked that has not looked at it yet."""


@pytest.mark.parametrize(("what", "expected"), NAMED.items())
def test_a_first_model_that_is_named_is_waited_for(
    what: str, expected: tuple[int, str], tmp_path: Path
) -> None:
    """Another worker may have it already, and have told the load balancer so."""
    with running(tmp_path, version=None, watch_s=1.0) as server:
        if what != "none":
            make_version(server.home, "1", wrong=0.5 if what == "damaged" else 0)
            point(server.home, "1")
        asked = time.monotonic()
        reply = _post(server.url)
        found = (reply.status_code, reply.json().get("error_code", ""))
        assert found == expected
        assert time.monotonic() - asked < server.config.limits.deadline_s / 2


@pytest.mark.parametrize("legible", [True, False])
def test_what_replaces_an_unfit_pointer_is_not_kept_waiting(legible: bool, tmp_path: Path) -> None:
    """The same one is tried again after five seconds; another one is news."""
    with running(tmp_path, version=None, watch_s=0.02) as server:
        make_version(server.home, "1", wrong=0.5)
        make_version(server.home, "2")
        failures = REGISTRY.get_sample_value(_FAILURES) or 0.0
        if legible:
            point(server.home, "1")
        else:
            write_json(server.home / "current.json", {})
        until(lambda: (REGISTRY.get_sample_value(_FAILURES) or 0.0) > failures)
        time.sleep(0.2)  # ten looks
        assert REGISTRY.get_sample_value(_FAILURES) == failures + 1
        asked = time.monotonic()
        point(server.home, "2")
        assert _post(server.url).json()["model_version"] == "2"
        assert time.monotonic() - asked < 2.5


def test_who_loads_for_long_gives_signs_of_life(tmp_path: Path) -> None:
    """Else the supervisor would end it as hung, and the next one, and so on for ever."""
    home = tmp_path / "serving"
    make_version(home, "1")
    point(home, "1")
    beat = home / "alive" / str(os.getpid())
    beat.parent.mkdir()
    beaten: set[int] = set()

    def beats() -> bool:
        if beat.exists():
            beaten.add(beat.stat().st_mtime_ns)
        return len(beaten) == 3

    async def load_slowly() -> bool:
        app, watcher = build(ServingConfig("tiny", str(home), str(tmp_path), "", watch_s=0.02))
        server = Quiet(uvicorn_config(app), app, watcher)
        serving = asyncio.create_task(server.serve(sockets=[bind("127.0.0.1", 0)]))
        await asyncio.to_thread(until, beats, 5.0)
        early = app.batcher.model is not None
        go_on.set()
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        assert app.batcher.model is not None
        server.should_exit = True
        await serving
        app.log.close()
        return early

    with _slowly_read(home / "current.json") as go_on:
        assert not asyncio.run(load_slowly())


@contextmanager
def _slowly_read(path: Path) -> Iterator[threading.Event]:
    """Let whoever reads a file wait until an event, for ten seconds at most."""
    whole, go_on = path.rename(path.with_suffix(".whole")), threading.Event()
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb") as stream:
            go_on.wait(10)
            stream.write(whole.read_bytes())
            whole.replace(path)  # before its reader sees the end: nobody reads the pipe again

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    yield go_on
    go_on.set()
    writing.join(5)


_FROZEN = """
import gc, json, os, signal, socket, sys, threading, time
from pathlib import Path
import httpx
from mlops.serving import worker
from mlops.serving.config import ServingConfig
from mlops.serving.model import Model
from mlops.serving.supervisor import bind
from tests.serving.tiny import make_version, point
folder, later = Path(sys.argv[1]), sys.argv[2] == "later"
home, listener = folder / "serving", bind("127.0.0.1", 0)
port = listener.getsockname()[1]
for version in ("1", "2"):
    make_version(home, version)
config = ServingConfig("tiny", str(home), str(folder / "spool"), "", watch_s=0.02)
os.environ.update(config.environment())

def serves(version):
    reply = httpx.get(f"http://127.0.0.1:{port}/health", timeout=20)
    return reply.headers.get("x-model-version") == version

def watched():
    return sorted(o.version for o in gc.get_objects() if type(o) is Model)

def ask():
    said = []
    for version in ("1", "2"):
        if later or version == "2":
            time.sleep(0.3)
            point(home, version)
        while not serves(version):
            time.sleep(0.02)
        said.append(watched())
    print(json.dumps(said))
    os.kill(os.getpid(), signal.SIGTERM)

if not later:
    point(home, "1")
threading.Thread(target=ask).start()
sys.argv[1] = str(listener.detach())
worker.main()
"""


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_garbage_is_not_looked_for_in_the_first_model_and_what_it_needs(
    when: str, tmp_path: Path
) -> None:
    """What comes afterwards is not kept for ever: a version that is swapped out goes."""
    done = subprocess.run(
        [sys.executable, "-c", _FROZEN, str(tmp_path), when],
        capture_output=True, text=True, check=False, cwd=Path.cwd(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], ["2"]]


def test_a_pointer_that_nobody_may_look_at_does_not_end_the_watch(tmp_path: Path) -> None:
    """It is tried again after five seconds, as an unfit one is; what replaces it, at once."""
    with running(tmp_path, version=None, watch_s=0.02) as server:
        make_version(server.home, "1")
        failures = REGISTRY.get_sample_value(_FAILURES) or 0.0
        pointer = server.home / "current.json"
        pointer.symlink_to(pointer)  # refuses everybody, the superuser too
        until(lambda: (REGISTRY.get_sample_value(_FAILURES) or 0.0) > failures)
        time.sleep(0.2)  # ten looks
        assert REGISTRY.get_sample_value(_FAILURES) == failures + 1
        assert _post(server.url).json()["error_code"] == "no_model"
        pointer.unlink()
        point(server.home, "1")
        until(lambda: _post(server.url).status_code == 200, 2.5)
