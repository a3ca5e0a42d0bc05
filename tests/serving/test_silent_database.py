"""A database that takes connections and says nothing holds up only what waits for it."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
import sqlalchemy as sa
from PIL import Image

from mlops.adapters.sql.engine import open_database
from mlops.serving import metrics
from mlops.serving.config import Limits
from mlops.serving.following import Bell, build, follow
from mlops.serving.model import read_pointer
from mlops.settings import Settings
from tests.serving.conftest import running
from tests.serving.test_beside import Asking
from tests.serving.test_follower import Shelf
from tests.serving.tiny import images, make_version, point
from tests.silent import silent_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.site import Site
    from tests.serving.conftest import Running

DEADLINE_S = 1.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    limits = Limits(deadline_s=DEADLINE_S, flush_s=0.02)
    with silent_database() as url, running(tmp_path, database_url=url, limits=limits) as found:
        yield found


def _picture(server: Running) -> httpx.Response:
    out = io.BytesIO()
    Image.fromarray(images(1)[0, ..., 0]).save(out, "PNG")
    kind = {"content-type": "image/png"}
    return httpx.post(f"{server.url}/predict", content=out.getvalue(), headers=kind, timeout=20)


def test_who_looks_predictions_up_holds_up_no_picture_and_no_page(server: Running) -> None:
    wanted = _picture(server).json()["prediction_id"]
    limits = httpx.Limits(max_connections=100)
    with httpx.Client(base_url=server.url, timeout=20, limits=limits) as client:

        def look(_: int) -> tuple[int, float]:
            began_s = time.monotonic()
            return client.get(f"/predictions/{wanted}").status_code, time.monotonic() - began_s

        with ThreadPoolExecutor(100) as pool:
            looking = [pool.submit(look, n) for n in range(100)]
            time.sleep(DEADLINE_S / 2)
            began_s = time.monotonic()
            assert _picture(server).status_code == 200
            assert time.monotonic() - began_s < DEADLINE_S
            turned_away = sum(one.done() for one in looking)
            answers = [one.result() for one in looking]
        assert turned_away == 36  # 64 may wait
        assert Counter(status for status, _ in answers) == {503: 100}
        assert max(spent_s for _, spent_s in answers) < DEADLINE_S + 1.0
        page = client.get("/", headers={"accept": "text/html"})
        assert (page.status_code, "database" in page.text) == (200, True)


def test_a_long_statement_of_somebody_else_costs_look_ups_until_its_end(
    tmp_path: Path, postgres_url: str
) -> None:
    limits = Limits(deadline_s=DEADLINE_S, flush_s=0.02)
    with running(tmp_path, database_url=postgres_url, limits=limits) as server:
        wanted = _picture(server).json()["prediction_id"]
        server.write_log()

        def look(_: int = 0) -> int:
            return httpx.get(f"{server.url}/predictions/{wanted}", timeout=20).status_code

        engine = open_database(postgres_url)
        with engine.begin() as other, ThreadPoolExecutor(10) as pool:
            other.execute(sa.text("LOCK TABLE predictions IN ACCESS EXCLUSIVE MODE"))
            assert [*pool.map(look, range(10))] == [503] * 10
            assert _picture(server).status_code == 200
        end_s = time.monotonic() + 5
        while look() != 200:
            assert time.monotonic() < end_s
        engine.dispose()


class Counting:
    """A duty that counts how often it is done."""

    times = 0

    def keep(self, _now_s: float, /) -> None:
        self.times += 1


def test_the_champion_is_followed_and_every_duty_done(site: Site) -> None:
    shelf = Shelf(site.layout.serving / "tiny", {"champion": "1"})
    for version in ("1", "2"):
        make_version(shelf.home, version, seed=int(version))
    point(shelf.home, "1")
    bell, counting = Bell(), Counting()
    with silent_database() as url:
        told = replace(site, settings=Settings(database_url=url, log_days=1.0))
        follower, duties, aside = build(told, "tiny", shelf, Asking())
        args = (follower, 0.05, bell, (*duties, counting))
        thread = threading.Thread(target=follow, args=args)
        thread.start()
        time.sleep(0.5)
        shelf.alias_of["champion"] = "2"
        time.sleep(1.0)
        pointer = read_pointer(shelf.home)
        bell.end()
        thread.join(2)
        assert not thread.is_alive()
    for one in aside:
        one.close(10.0)  # before another test counts what it logs
    assert pointer is not None
    assert pointer.version == "2"
    assert counting.times >= 10


def test_a_registry_that_hangs_shows_in_the_metrics(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: the poll that would tell of it has no end."""
    shelf, answer, bell = Shelf(site.layout.serving / "tiny"), threading.Event(), Bell()
    make_version(shelf.home, "1")
    point(shelf.home, "1")
    monkeypatch.setattr(shelf, "champion", lambda *_: answer.wait(20) and None)
    follower, _, aside = build(site, "tiny", shelf, Asking())
    metrics.STALENESS.set(0.0)
    thread = threading.Thread(target=follow, args=(follower, 0.05, bell))
    thread.start()
    time.sleep(2.5)
    stale_s = metrics.STALENESS._value.get()
    bell.end()
    answer.set()
    thread.join(5)
    for one in aside:
        one.close(10.0)
    assert stale_s > 1.0
