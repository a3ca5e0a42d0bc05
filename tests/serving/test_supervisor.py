"""`mlops serve` as a process group: one line when ready, respawn, drain, lean workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops.adapters.onnx_session import gpus, lacking
from mlops.adapters.sql.engine import open_database
from mlops.errors import UsageError
from mlops.serving.child import Child
from mlops.serving.config import check_address
from mlops.serving.supervisor import bind
from tests.serving.tiny import images, logged_ids, make_version, point

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = {"inputs": images(1).tolist()}
_LIST = """
import os, sys
from mlops.serving import worker
print(sorted({"torch", "mlflow", "pandas", "pyarrow", "pydantic", "sqlalchemy"} & set(sys.modules)))
"""


@pytest.fixture
def served(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `mlops serve` with two workers and a cached version, the registry being down."""
    home = root / ".mlops" / "serving" / "digits"
    make_version(home, "1")
    point(home, "1")
    environment = {
        **os.environ, "MLOPS_ROOT": str(root), "MLOPS_METRICS_PORT": "0",
        "MLOPS_MLFLOW_URI": "http://127.0.0.1:9", "MLOPS_POLL_S": "3600",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops.cli.main", "serve", "--port", "0", "--workers", "2"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, line
    finally:
        process.kill()
        process.wait()


def _workers(pid: int) -> set[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return {
        int(row[0]) for row in rows
        if len(row) == 3 and row[1] == str(pid) and "serving.worker" in row[2]
    }  # fmt: skip


def test_the_group_serves_respawns_and_drains(
    served: tuple[subprocess.Popen[str], str], root: Path
) -> None:
    process, line = served
    assert line.startswith("serving digits version 1 at http://127.0.0.1:")
    url, metrics = line.split()[5], line.split()[7].rstrip(");")
    lacks = f"CPU: {lacking()}" if lacking() else "GPU"
    assert line.endswith(f"; on the {lacks}\n" if gpus() else ")\n")
    before = _workers(process.pid)
    assert len(before) == 2
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    while len(_workers(process.pid) - {victim}) < 2:
        assert time.monotonic() - killed < 5
        time.sleep(0.05)
    answered = [_answered(url) for _ in range(20)]
    assert sum(answered) == 20
    assert 'mlops_requests_total{route="/invocations",status="200"} 20.0' in httpx.get(metrics).text
    _hup(process, metrics)
    started = time.monotonic()
    with _half_sent(url) as (sending, rest):
        process.send_signal(signal.SIGTERM)
        _await_unready(url)
        sending.sendall(rest)
        assert sending.recv(4096).startswith(b"HTTP/1.1 200")
    assert process.wait(20) == 0
    assert time.monotonic() - started < 15
    assert _workers(process.pid) == set()
    engine = open_database(f"sqlite:///{root / '.mlops' / 'mlops.db'}")
    assert len(logged_ids(engine, "digits")) == 21


def _hup(process: subprocess.Popen[str], metrics: str) -> None:
    """SIGHUP makes the follower look at the registry, which is down, once more."""
    name = "mlops_registry_errors_total"
    _await_metric(metrics, name, 1.0)
    time.sleep(0.5)
    assert _metric(metrics, name) == 1.0  # its period is an hour
    process.send_signal(signal.SIGHUP)
    _await_metric(metrics, name, 2.0)
    assert _metric(metrics, "mlops_registry_staleness_seconds") > 0.0


def _await_metric(address: str, name: str, value: float) -> None:
    end_s = time.monotonic() + 20
    while _metric(address, name) != value:
        assert time.monotonic() < end_s
        time.sleep(0.1)


def _metric(address: str, name: str) -> float:
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:  # the follower takes seconds to come up
        for line in httpx.get(address).text.splitlines():
            if line.split("{")[0].split(" ")[0] == name:
                return float(line.rsplit(" ", 1)[1])
        time.sleep(0.1)
    raise AssertionError(name)


@contextmanager
def _half_sent(url: str) -> Iterator[tuple[socket.socket, bytes]]:
    """Give a connection with a request that lacks the end of its body, and that end."""
    body = json.dumps(BODY).encode()
    head = (
        "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=10) as half:
        half.sendall(head.encode() + body[:10])
        time.sleep(0.2)
        yield half, body[10:]


def _await_unready(url: str) -> None:
    end_s = time.monotonic() + 2
    while True:
        try:
            if httpx.get(url + "/health", timeout=1).status_code == 503:
                return
        except httpx.TransportError:
            return
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_a_silent_worker_is_noticed_and_one_that_beats_is_not(tmp_path: Path) -> None:
    child = Child([sys.executable, "-c", "import time; time.sleep(60)"], {}, beat=tmp_path)
    child.start()
    try:
        assert child.process is not None
        now_s = time.monotonic()
        assert child.silent_s(now_s + 10) == 0.0 or child.silent_s(now_s + 20) >= 10.0
        file = tmp_path / str(child.process.pid)
        for tick in range(1, 4):
            os.utime(_touched(file), (tick, tick))  # the date jumps back to 1970
            assert child.silent_s(now_s + 100.0 * tick) == 0.0
        assert child.silent_s(now_s + 320.0) == pytest.approx(20.0)
    finally:
        child.stop()
        child.wait(time.monotonic() + 5)


def test_a_machine_that_starts_no_process_for_now_is_asked_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The supervisor goes on: with it those would end that still serve."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    child = Child([str(python), "-c", "import time; time.sleep(60)"], {})
    child.start()
    assert child.process is not None
    child.process.kill()
    child.process.wait()
    python.unlink()
    now_s = time.monotonic()
    assert child.tend(now_s) == -signal.SIGKILL
    assert child.tend(now_s + 10) is None
    assert not _runs(child)
    assert "no process started: No such file" in capfd.readouterr().err
    python.symlink_to(sys.executable)
    assert child.tend(now_s + 10.1) is None
    assert not _runs(child)  # it waits between two tries
    assert child.tend(now_s + 20) is None
    assert _runs(child)
    child.stop()
    child.wait(time.monotonic() + 5)


def _runs(child: Child) -> bool:
    return child.process is not None


def _touched(path: Path) -> Path:
    path.touch()
    return path


def _answered(url: str) -> bool:
    return httpx.post(url + "/invocations", json=BODY, timeout=10).status_code == 200


def test_a_worker_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ADDRESSES = {
    ("127.0.0.1", ""): True,
    ("::1", ""): True,
    ("localhost", ""): True,
    ("0.0.0.0", ""): False,
    ("example.org", ""): False,
    ("0.0.0.0", "token"): True,
}


@pytest.mark.parametrize(("given", "allowed"), ADDRESSES.items())
def test_only_loopback_is_open_without_a_token(given: tuple[str, str], allowed: bool) -> None:
    if allowed:
        check_address(*given)
    else:
        with pytest.raises(UsageError, match="mlops token add NAME, or set MLOPS_TOKEN"):
            check_address(*given)


def test_a_taken_port_is_named() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=str(port)):
            bind("127.0.0.1", port)


def test_a_child_whose_supervisor_died_while_it_was_importing_ends() -> None:
    """Its parent is then somebody else from the beginning, who respawns nobody."""
    say = "from mlops.serving.child import parent; import os; print(parent(), os.getppid())"
    started = """
import sys, os
from mlops.serving.child import Child
child = Child([sys.executable, "-c", sys.argv[1]], dict(os.environ))
child.start()
print(os.getpid(), flush=True)
child.process.wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", started, say], check=True, capture_output=True, text=True
    )
    above, told = done.stdout.splitlines()
    assert told == f"{above} {above}"
    stale = {**os.environ, "MLOPS_CHILD_OF": above}  # it is gone
    done = subprocess.run(
        [sys.executable, "-c", say], env=stale, check=True, capture_output=True, text=True
    )
    assert done.stdout == f"{above} {os.getpid()}\n"
