"""The short road and the long one: the same answers, whichever way a request came."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from mlops.serving.config import Limits
from mlops.serving.direct import Direct
from mlops.serving.protocol import Protocol
from mlops.serving.split import Split
from tests.serving.conftest import running
from tests.serving.test_overload import _slow
from tests.serving.tiny import images, make_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.serving.conftest import Running

ONE = images(1)
RAW, JSON = "application/octet-stream", "application/json"
ID = re.compile(rb"[0-9a-f]{38}|[0-9a-f]{10}-[0-9a-f]+")


def _post(path: str, kind: str, body: bytes, *more: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *more]
    if size >= 0:
        lines.append(f"Content-Length: {size}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _inputs(values: Any) -> bytes:
    return json.dumps({"inputs": values}).encode()


class _Line:
    """One connection, and what comes back on it."""

    def __init__(self, server: Running) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=5)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, *parts: bytes) -> None:
        """Send parts that the server reads one by one."""
        for n, part in enumerate(parts):
            if n:
                time.sleep(0.03)
            self.socket.sendall(part)

    def hear(self) -> tuple[bytes, bytes]:
        """Return one answer's head and body; nothing if the connection was closed."""
        while b"\r\n\r\n" not in self._rest:
            part = self.socket.recv(65536)
            if not part:
                return b"", b""
            self._rest += part
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        size = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        while len(self._rest) < size:
            self._rest += self.socket.recv(65536)
        body, self._rest = self._rest[:size], self._rest[size:]
        return head, body


def _count(route: str, status: int) -> float:
    labels = {"route": route, "status": str(status)}
    return REGISTRY.get_sample_value("mlops_requests_total", labels) or 0.0


CASES: dict[str, tuple[bytes, int]] = {
    "raw": (_post("/predict", RAW, ONE.tobytes()), 200),
    "raw, two": (_post("/predict", RAW, images(2).tobytes()), 200),
    "rows": (_post("/invocations", JSON, _inputs(ONE.tolist())), 200),
    "named": (_post("/predict", JSON, json.dumps({"image": ONE[0].tolist()}).encode()), 200),
    "with an id": (_post("/predict", RAW, ONE.tobytes(), "X-Request-ID: mine-1"), 200),
    "with a wrong id": (_post("/predict", RAW, ONE.tobytes(), "X-Request-ID: a b"), 200),
    "closing": (_post("/predict", RAW, ONE.tobytes(), "Connection: close"), 200),
    "of old": (_post("/predict", RAW, ONE.tobytes()).replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
    "charset": (_post("/invocations", JSON + "; charset=utf-8", _inputs(ONE.tolist())), 200),
    "a query": (_post("/predict?top_k=1", RAW, ONE.tobytes()), 200),
    "no number of images": (_post("/predict", RAW, b"abc"), 422),
    "no JSON": (_post("/invocations", JSON, b"{"), 400),
    "empty": (_post("/predict", RAW, b""), 400),
    "no length": (_post("/predict", RAW, b"", length=-1), 411),
    "too large": (_post("/predict", RAW, b"a", length=9 << 20), 413),
    "compressed": (_post("/predict", RAW, b"abc", "Content-Encoding: gzip"), 415),
    "of another kind": (_post("/predict", "text/html", b"abc"), 415),
    "of no kind": (_post("/predict", "", b"abc"), 415),
    "elsewhere": (_post("/nothing", RAW, b"abc"), 404),
    "from another site": (_post("/predict", RAW, ONE.tobytes(), "Sec-Fetch-Site: cross-site"), 403),
    "for another host": (
        _post("/predict", RAW, ONE.tobytes()).replace(b"localhost", b"evil.example"), 403),
    "for no host": (
        _post("/predict", RAW, ONE.tobytes()).replace(b"Host: localhost", b"A: b"), 200),
    "chunks": (_post("/predict", RAW, b"3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked",
                     length=-1), 422),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "status"), CASES.values(), ids=CASES)
def test_both_roads_answer_the_same(request_: bytes, status: int, shared: Running) -> None:
    head, ended, body = request_.partition(b"\r\n\r\n")
    ways = [(request_,), (head + ended, body) if body else (head[:-3], head[-3:] + ended)]
    found = []
    for parts in ways:
        with _Line(shared) as line:
            line.say(*parts)
            found.append([ID.sub(b"ID", part) for part in line.hear()])
            closes = b"connection: close" in found[-1][0]
            line.socket.settimeout(5 if closes else 0.05)
            if closes:
                assert line.hear() == (b"", b"")
    assert found[0] == found[1]
    assert found[0][0].startswith(b"HTTP/1.1 %d " % status)


def test_the_short_road_needs_no_task(serve: Callable[..., Running]) -> None:
    whole, query = CASES["raw"][0], CASES["a query"][0]
    lines: list[_Line] = []
    go = threading.Event()
    server = serve(limits=Limits(wait_s=5))
    _slow(server, lambda _rows: go.wait(5))
    tasks = []
    for parts in ((whole,), (whole[:-5], whole[-5:]), (query,), (whole + whole,)):
        line = _Line(server)
        line.say(*parts)
        time.sleep(0.1)
        tasks.append(len(server.server.server_state.tasks))
        lines.append(line)
    assert tasks == [0, 1, 2, 2]  # of the last two the first has none, and the second waits for it
    go.set()
    for line in lines:
        assert line.hear()[0].startswith(b"HTTP/1.1 200")
        line.socket.close()


def test_an_idle_connection_keeps_nothing_of_what_was_sent(serve: Callable[..., Running]) -> None:
    server = serve()
    with _Line(server) as line:
        for name in ("raw", "no number of images"):
            line.say(CASES[name][0])
            line.hear()
            time.sleep(0.05)  # the answer was written in the midst of a read
            (connection,) = server.server.server_state.connections
            assert isinstance(connection, Protocol)
            assert connection._parts == []
            assert isinstance(connection.cycle, Direct)
            assert connection.cycle.images.size == 0
            assert not connection.cycle._rows.values


def test_what_is_in_progress_is_answered_before_the_end(serve: Callable[..., Running]) -> None:
    server = serve()
    go = threading.Event()
    _slow(server, lambda _rows: go.wait(5))
    with _Line(server) as line, _Line(server) as idle:
        line.say(CASES["raw"][0])
        time.sleep(0.1)
        server.server.should_exit = True
        assert idle.hear() == (b"", b"")
        go.set()
        head, _ = line.hear()
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in head
        assert line.hear() == (b"", b"")


def test_requests_in_one_read_are_answered_one_after_the_other(shared: Running) -> None:
    asked = [CASES["with an id"][0].replace(b"mine-1", b"mine-%d" % n) for n in range(4)]
    wrong = CASES["no number of images"][0]
    with _Line(shared) as line:
        line.say(asked[0] + asked[1] + asked[2][:-7], asked[2][-7:] + wrong + asked[3])
        answers = [line.hear() for _ in range(5)]
    statuses = [head.split()[1] for head, _ in answers]
    assert statuses == [b"200", b"200", b"200", b"422", b"200"]
    ids = [re.search(rb"x-request-id: (\S+)", head)[1] for head, _ in answers]  # type: ignore[index]
    assert [ids[n] for n in (0, 1, 2, 4)] == [b"mine-0", b"mine-1", b"mine-2", b"mine-3"]


def test_what_follows_the_last_answer_is_not_read(shared: Running) -> None:
    with _Line(shared) as line:
        line.say(CASES["compressed"][0] + CASES["raw"][0] + CASES["raw"][0][:-9])
        assert line.hear()[0].startswith(b"HTTP/1.1 415")
        assert line.hear() == (b"", b"")


def test_a_body_that_goes_wrong_is_no_request(shared: Running) -> None:
    head = CASES["chunks"][0].partition(b"\r\n\r\n")[0]
    with _Line(shared) as line:
        line.say(head + b"\r\n\r\n3\r\nabc\r\nzz\r\n")
        assert line.hear()[0].startswith(b"HTTP/1.1 400")
        assert line.hear() == (b"", b"")


def test_who_finds_the_gate_full_waits_for_its_turn(serve: Callable[..., Running]) -> None:
    server = serve(limits=Limits(concurrent=1, wait_s=5, requests=2))
    go = threading.Event()
    _slow(server, lambda _rows: go.wait(5))
    lines = [_Line(server) for _ in range(3)]
    for line in lines:
        line.say(CASES["raw"][0])
    time.sleep(0.1)
    assert server.app.admission._inside == 1
    assert len(server.app.admission._waiting) == 2
    with _Line(server) as late:
        late.say(CASES["raw"][0])
        head, body = late.hear()
    assert head.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in head
    assert json.loads(body)["error"]["code"] == "busy"
    assert server.app.admission._inside == 1
    go.set()
    for line in lines:
        assert line.hear()[0].startswith(b"HTTP/1.1 200")
        line.socket.close()
    assert server.app.admission._inside == 0


def test_a_client_that_hung_up_is_still_logged_and_counted(serve: Callable[..., Running]) -> None:
    server = serve()
    go = threading.Event()
    _slow(server, lambda _rows: go.wait(5))
    before = _count("/predict", 200)
    with _Line(server) as line:
        line.say(CASES["raw"][0])
        time.sleep(0.1)
    time.sleep(0.1)
    go.set()
    assert httpx.get(server.url + "/health").is_success
    assert server.write_log() == 1
    assert _count("/predict", 200) - before == 1.0
    assert server.app.admission._inside == 0


def test_who_is_late_hears_so_while_the_model_hangs(serve: Callable[..., Running]) -> None:
    server = serve(limits=Limits(deadline_s=0.2))
    go = threading.Event()
    _slow(server, lambda _rows: go.wait(5))
    with _Line(server) as line:
        line.say(CASES["raw"][0])
        head, body = line.hear()
        assert head.startswith(b"HTTP/1.1 503")
        assert json.loads(body)["error"]["code"] == "deadline"
        go.set()
        time.sleep(0.1)
        line.say(CASES["raw"][0])
        assert line.hear()[0].startswith(b"HTTP/1.1 200")


def test_one_that_cannot_be_answered_spoils_no_other(serve: Callable[..., Running]) -> None:
    server = serve()
    offer = server.app.mirror.offer

    def fail(_answered: object) -> None:
        server.app.mirror.offer = offer  # type: ignore[method-assign]
        raise ValueError("secret")

    server.app.mirror.offer = fail  # type: ignore[method-assign, assignment]
    with capture_logs() as logs, _Line(server) as line, _Line(server) as other:
        line.say(CASES["raw"][0])
        head, body = line.hear()
        other.say(CASES["raw"][0])
        assert other.hear()[0].startswith(b"HTTP/1.1 200")
    assert head.startswith(b"HTTP/1.1 500")
    assert json.loads(body)["error"]["code"] == "internal"
    assert b"secret" not in body
    assert [log["route"] for log in logs if log["event"] == "request failed"] == ["/predict"]
    assert server.app.admission._inside == 0


def test_an_answer_that_would_split_is_not_sent(serve: Callable[..., Running]) -> None:
    server = serve()
    server.app.batcher.current().version = "1\r\nx: y"
    with capture_logs() as logs, _Line(server) as line:
        line.say(CASES["raw"][0])
        assert line.hear() == (b"", b"")
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["not answered"]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, token="secret", access_log=True) as server:
        yield server


def test_tokens_and_the_access_log_know_no_other_road(guarded: Running) -> None:
    with capture_logs() as logs, _Line(guarded) as line:
        for token in ("secret", "wrong"):
            line.say(_post("/predict", RAW, ONE.tobytes(), f"Authorization: Bearer {token}"))
            head, _ = line.hear()
            assert head.split()[1] == (b"200" if token == "secret" else b"401")
        assert line.hear() == (b"", b"")
    seen = [(log["status"], log["token"]) for log in logs if log["event"] == "request"]
    assert seen == [(200, "MLOPS_TOKEN"), (401, "")]


def test_a_canary_is_asked_on_this_road_too(serve: Callable[..., Running]) -> None:
    from mlops.serving.model import Model

    server = serve()
    make_version(server.home, "2")
    rival = Model(server.home / "2", "2")
    split = Split(0.5, "2")
    server.app.batcher.compete(rival, split)
    with _Line(server) as line:
        for key in map(str, range(8)):
            line.say(_post("/predict", RAW, ONE.tobytes(), f"X-Entity: {key}"))
            version = b"2" if split.arm(key) == "challenger" else b"1"
            assert b"x-model-version: " + version in line.hear()[0]


def test_without_a_model_there_is_no_answer(tmp_path: Path) -> None:
    with running(tmp_path, version=None) as server, _Line(server) as line:
        line.say(CASES["raw"][0])
        assert line.hear()[0].startswith(b"HTTP/1.1 503")
        assert server.app.admission._inside == 0


def test_a_log_that_is_waited_for_is_waited_for(serve: Callable[..., Running]) -> None:
    server = serve(limits=Limits(flush_s=0))
    with _Line(server) as line:
        line.say(CASES["raw"][0])
        assert line.hear()[0].startswith(b"HTTP/1.1 200")
    assert [*server.spool.glob("*.seg")]
