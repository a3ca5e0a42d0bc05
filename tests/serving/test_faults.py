"""What a server in service has to outlive: a kill in the middle, a database that goes, a clock."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import httpx
import orjson
import pytest
import sqlalchemy as sa

from benchmarks.serving_worker import Worker
from mlops.adapters import predictions
from mlops.adapters.sql.engine import open_database
from mlops.core.prediction import Labelled
from mlops.serving.config import Limits
from mlops.serving.writer import Writer
from tests.serving.conftest import PROJECT
from tests.serving.tiny import images, logged_ids, make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.serving.conftest import Running

BODY = orjson.dumps({"inputs": images(1).tolist()})
HEADERS = {"Content-Type": "application/json"}


def _heard(port: int) -> list[tuple[str, float]]:
    """Ask until the server is gone; return the ids that came back, and when."""
    found: list[tuple[str, float]] = []
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    while True:
        try:
            connection.request("POST", "/invocations", BODY, HEADERS)
            reply = orjson.loads(connection.getresponse().read())
        except (HTTPException, OSError):
            return found
        found.append((reply["prediction_ids"][0], time.monotonic()))
        time.sleep(0.003)


@pytest.mark.parametrize("flush_s", [0.0, 0.05])
def test_a_kill_between_reply_and_log_loses_what_was_said_and_no_more(
    tmp_path: Path, flush_s: float
) -> None:
    """A real worker, killed while four clients ask: only the newest rows may be missing."""
    home, url = tmp_path / "serving", f"sqlite:///{tmp_path / 'log.db'}"
    make_version(home, "1")
    point(home, "1")
    with (
        Worker(home, Limits(flush_s=flush_s), url) as worker,
        ThreadPoolExecutor(4) as pool,
    ):
        asking = [pool.submit(_heard, worker.port) for _ in range(4)]
        time.sleep(1.0)
        worker.process.kill()
        worker.process.wait(10)
        worker.close()
        killed_s = time.monotonic()
        heard = dict(pair for one in asking for pair in one.result())
    Writer(worker.spool, "bench", url).drain()
    kept = set(logged_ids(open_database(url), "bench"))
    assert len(heard) > 20
    assert len(kept) > len(heard) / 2
    lost = [killed_s - at_s for name, at_s in heard.items() if name not in kept]
    assert len(kept - heard.keys()) <= 4  # on disk, but unheard: one of each client
    # What waits for its sync, and what came while the one before was being synced.
    assert max(lost, default=0.0) <= (flush_s + 0.5 if flush_s else 0.0)


@pytest.fixture
def database(postgres_url: str) -> Iterator[tuple[str, Callable[..., None]]]:
    """Return the address of a database of one's own in Postgres, and what takes it away."""
    server = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'faults'"

    def there(*, yes: bool) -> None:
        with server.connect() as connection:
            allowed = "true" if yes else "false"
            connection.execute(sa.text(f"ALTER DATABASE faults ALLOW_CONNECTIONS {allowed}"))
            if not yes:
                connection.execute(sa.text(ends))

    with server.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE faults"))
    yield postgres_url.replace("/postgres?", "/faults?"), there
    with server.connect() as connection:
        connection.execute(sa.text("DROP DATABASE faults WITH (FORCE)"))
    server.dispose()


def test_a_database_that_goes_and_comes_back_costs_no_answer_and_no_row(
    serve: Callable[..., Running], database: tuple[str, Callable[..., None]]
) -> None:
    """Its sessions are ended in the middle of a stream; the log is replayed in order."""
    url, there = database
    server = serve(database_url=url)
    writer = Writer(server.spool, PROJECT, url)
    writer.start()
    ids: list[str] = []

    def ask(count: int) -> None:
        for _ in range(count):
            reply = client.post("/invocations", content=BODY, headers=HEADERS)
            assert reply.status_code == 200
            ids.extend(reply.json()["prediction_ids"])

    with httpx.Client(base_url=server.url) as client:
        ask(20)
        _until(lambda: logged_ids(open_database(url), PROJECT) == ids)
        stream = threading.Thread(target=ask, args=(200,))
        stream.start()
        there(yes=False)
        stream.join(20)
        ask(20)
        assert client.get(f"/predictions/{ids[-1]}").status_code in (202, 503)
        there(yes=True)
    writer.close(1)
    Writer(server.spool, PROJECT, url).drain()
    engine = open_database(url)
    assert logged_ids(engine, PROJECT) == ids
    engine.dispose()


def _until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.1)


def test_a_clock_that_jumps_doubles_and_loses_nothing(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour forth, an hour back, a day back: ids grow, and the newest correction counts."""
    real_s, real_ns, off = time.time, time.time_ns, [0.0]
    monkeypatch.setattr(time, "time", lambda: real_s() + off[0])
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(off[0] * 1e9))
    server = serve()
    ids: list[str] = []
    with httpx.Client(base_url=server.url) as client:
        for turn, jump_s in enumerate((0.0, 3600.0, 0.0, -86400.0)):
            off[0] = jump_s
            for _ in range(3):
                reply = client.post("/invocations", content=BODY, headers=HEADERS)
                ids += reply.json()["prediction_ids"]
            given = {"prediction_id": ids[0], "label": turn % 3}
            assert client.post("/feedback", json=given).json() == {"accepted": 1}
        assert client.get("/health").status_code == 200
    server.write_log()
    engine = open_database(server.config.database_url)
    assert ids == sorted(set(ids))
    assert logged_ids(engine, PROJECT) == ids
    found = predictions.find(engine, PROJECT, ids[0])
    assert isinstance(found, Labelled)
    assert found.label.label == 0  # of the fourth turn, given when the clock was a day behind
