"""The supervisor, on cheap real processes: order, restart, stop, and death without orphans."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from mlops.adapters import orphans
from mlops.adapters.orphans import claim
from mlops.adapters.parts import Part, read_parts
from mlops.adapters.processes import Group, prober
from mlops.errors import Busy
from tests.serving.certificates import certify
from tests.serving.conftest import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from mlops.site import Site

_DEADLINE_S = 20.0
# A server that also starts a grandchild in a session of its own, as Prefect's worker does.
_SERVER = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
address = ("127.0.0.1", int(sys.argv[1]))
http.server.HTTPServer(address, http.server.BaseHTTPRequestHandler).serve_forever()
"""
# The same group in a process of its own, to be killed.
_UP = """
import asyncio, sys
from pathlib import Path
from mlops.adapters.orphans import claim
from mlops.adapters.parts import Part
from mlops.adapters.processes import Group
from mlops.layout import Layout
async def main():
    port, layout = sys.argv[2], Layout(Path(sys.argv[1]))
    part = Part("web", (sys.executable, "-c", sys.argv[3], port), probe=f"http://127.0.0.1:{port}/")
    with claim(layout) as name:
        await Group(name, [part], layout).run(asyncio.Event())
asyncio.run(main())
"""


def _web(port: int, **given: object) -> Part:
    command = (sys.executable, "-c", _SERVER, str(port))
    return Part("web", command, probe=f"http://127.0.0.1:{port}/", url="http://web", **given)  # type: ignore[arg-type]


def _running(root: Path) -> list[psutil.Process]:
    return orphans.find(f"{root}#")


def _until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "did not happen in time"
        time.sleep(0.05)


async def _until_async(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(_until, condition)


@asynccontextmanager
async def _up(
    site: Site, parts: list[Part], lines: list[str] | None = None
) -> AsyncIterator[Group]:
    say = (lines if lines is not None else []).append
    stop = asyncio.Event()
    with claim(site.layout, say) as name:
        group = Group(name, parts, site.layout, say)
        task = asyncio.create_task(group.run(stop))
        try:
            yield group
        finally:
            stop.set()
            await asyncio.wait_for(task, _DEADLINE_S)


@pytest.fixture
def port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _nothing_left(root: Path) -> Iterator[None]:
    yield
    assert orphans.end(f"{root}#", grace_s=0.1) == 0, "the test left processes behind"


def test_starts_in_order_and_stops_all(site: Site, port: int) -> None:
    lines: list[str] = []
    once = Part("deploy", (sys.executable, "-c", "print('done')"), once=True, after=("web",))
    last = Part("last", (sys.executable, "-c", "import time; time.sleep(600)"), after=("deploy",))

    async def story() -> None:
        async with _up(site, [last, once, _web(port)], lines) as group:
            await asyncio.wait_for(group.all_up.wait(), _DEADLINE_S)
            known = read_parts(site.layout)
            assert known is not None
            assert known[0] == os.getpid()
            assert {p.name: p.state for p in known[1]} == {
                "web": "up", "deploy": "done", "last": "up",
            }  # fmt: skip

    asyncio.run(story())
    assert [line.split()[0] for line in lines] == ["web", "deploy", "last"]
    assert "http://web" in lines[0]
    assert (site.layout.logs / "deploy.log").read_text() == "done\n"
    assert _running(site.layout.root) == []
    assert read_parts(site.layout) is None


def test_a_part_that_speaks_tls_is_probed(tmp_path: Path) -> None:
    """By its address, which its certificate need not name."""

    async def ask(url: str) -> bool:
        async with prober() as client:
            return (await client.get(url)).is_success

    with running(tmp_path, tls=certify(tmp_path, 1)) as server:
        assert asyncio.run(ask(server.url.replace("http://", "https://") + "/ping"))


def test_restarts_what_dies_and_sweeps_its_children(site: Site, port: int) -> None:
    async def story() -> None:
        async with _up(site, [_web(port)]) as group:
            await asyncio.wait_for(group.all_up.wait(), _DEADLINE_S)
            known = read_parts(site.layout)
            assert known is not None
            first = known[1][0].pid
            assert first is not None
            os.kill(first, signal.SIGKILL)

            def again() -> bool:
                now = read_parts(site.layout)
                return now is not None and now[1][0].state == "up" and now[1][0].restarts == 1

            await _until_async(again)
            # The server and its one child, no leftovers; the sentinel is not of the group.
            assert len(_running(site.layout.root)) == 2

    asyncio.run(story())


def test_a_failing_part_backs_off_and_says_why(site: Site) -> None:
    lines: list[str] = []

    async def story() -> None:
        bad = Part("bad", (sys.executable, "-c", "raise SystemExit(3)"), once=True)
        async with _up(site, [bad], lines) as group:
            await _until_async(lambda: len(lines) >= 2)
            assert "ended with code 3" in group.missing()[0]

    asyncio.run(story())
    assert "ended with code 3" in lines[0]
    assert "bad.log" in lines[0]
    assert len(lines) <= 3


def test_a_part_that_ignores_sigterm_is_killed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.adapters.processes._GRACE_S", 0.3)
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

    async def story() -> None:
        async with _up(site, [Part("deaf", (sys.executable, "-c", code))]) as group:
            await asyncio.wait_for(group.all_up.wait(), _DEADLINE_S)

    asyncio.run(story())
    assert _running(site.layout.root) == []


def _start_up(root: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _UP, str(root), str(port), _SERVER]
    up = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _until(lambda: _answers(port))
    return up


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def test_no_orphans_after_sigkill(root: Path, port: int) -> None:
    up = _start_up(root, port)
    assert len(_running(root)) >= 2
    up.kill()
    up.wait()
    _until(lambda: _running(root) == [])


def test_a_second_start_ends_what_a_first_left(site: Site, port: int) -> None:
    up = _start_up(site.layout.root, port)
    # The sentinel dies with its supervisor: the worst case.
    for process in psutil.Process(up.pid).children():
        if "mlops.adapters.orphans" in process.cmdline():
            process.suspend()
            sentinel = process
    up.kill()
    up.wait()
    sentinel.kill()
    assert len(_running(site.layout.root)) >= 2
    lines: list[str] = []

    async def story() -> None:
        async with _up(site, [_web(port)], lines) as group:
            await asyncio.wait_for(group.all_up.wait(), _DEADLINE_S)

    asyncio.run(story())
    assert "ended 2 processes" in lines[0]


def test_two_supervisors_of_one_root(site: Site, port: int) -> None:
    up = _start_up(site.layout.root, port)
    with pytest.raises(Busy, match="another mlops up"), claim(site.layout):
        pass
    up.kill()
    up.wait()
    _until(lambda: _running(site.layout.root) == [])
