"""Shadow and canary: beside the champion, compared, and never in its way."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters import beside, files, predictions, windows
from mlops.adapters.canary import Wish
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import incidents
from mlops.adapters.sql.tables import predictions as table
from mlops.core.sequential import Tally
from mlops.core.share import read_share, write_share
from mlops.errors import RegistryError, Unavailable, UnverifiedModel
from mlops.serving import metrics
from mlops.serving.canary import Canary, read_state
from mlops.serving.config import ServingConfig
from mlops.serving.follow_shadow import FollowShadow
from mlops.serving.model import load
from mlops.serving.notices import Notices
from mlops.serving.pointer import Pointer, drop_pointer, read_pointer, write_pointer
from mlops.serving.run import run
from mlops.serving.split import Split
from mlops.serving.tallies import Side, Sides, read_sides
from mlops.serving.worker import build
from mlops.settings import Settings
from tests.serving.conftest import PROJECT
from tests.serving.test_follower import Shelf
from tests.serving.tiny import images, logged_ids, make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops.site import Site
    from tests.serving.conftest import Running

ROWS = images(4)


def _beside(home: Path, version: str, *, role: str = "shadow", weight: float = 1.0) -> None:
    if not (home / version).exists():
        make_version(home, version, seed=int(version))
    pointer = read_pointer(home)
    assert pointer is not None
    digest = str(files.read_json(home / version / "manifest.json")["digest"])
    fresh = Pointer(version, str(home / version), digest, 5.0, weight)
    write_pointer(home, fresh, role)  # type: ignore[arg-type]


def _until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_a_shadow_sees_every_request_and_is_never_counted(serve: Callable[..., Running]) -> None:
    server = serve()
    _beside(server.home, "2")
    _until(lambda: server.app.mirror._model is not None)
    before = metrics.PREDICTIONS._value.get()
    ids: list[str] = []
    for _ in range(5):
        reply = httpx.post(server.url + "/invocations", json={"inputs": ROWS.tolist()}).json()
        assert reply["model_version"] == "1"
        ids += reply["prediction_ids"]
    _until(lambda: not server.app.mirror._queue)
    time.sleep(0.1)
    assert server.write_log() == 40
    assert metrics.PREDICTIONS._value.get() - before == 20
    engine = open_database(server.config.database_url)
    assert logged_ids(engine, PROJECT, "1") == ids
    query = sa.select(table).where(table.c.shadow_of.is_not(None)).order_by(table.c.seq)
    with engine.connect() as connection:
        shadows = connection.execute(query).all()
        assert windows.versions(connection, PROJECT) == ("1",)
        seen = beside.shadow(connection, server.home, PROJECT)
    assert [row.shadow_of for row in shadows] == ids
    assert {(row.version, row.features) for row in shadows} == {("2", None)}
    model = load(Pointer("2", *_named(server.home, "2"), 0.0))
    said = model.predict(ROWS)
    found = np.array([np.frombuffer(row.probabilities, "<f4") for row in shadows[:4]])
    assert np.allclose(found, said, atol=1e-6)
    assert predictions.find(engine, PROJECT, shadows[0].id) is None
    assert seen is not None
    served = load(Pointer("1", *_named(server.home, "1"), 0.0)).predict(ROWS)
    assert (seen.version, seen.rows) == ("2", 20)
    assert seen.agreed == 5 * int((said.argmax(axis=1) == served.argmax(axis=1)).sum())
    drop_pointer(server.home, "shadow")
    _until(lambda: server.app.mirror._model is None)


def _named(home: Path, version: str) -> tuple[str, str]:
    digest = str(files.read_json(home / version / "manifest.json")["digest"])
    return str(home / version), digest


def test_a_slow_or_failing_shadow_costs_nobody_anything(serve: Callable[..., Running]) -> None:
    server = serve()
    _beside(server.home, "2")
    _until(lambda: server.app.mirror._model is not None)
    model = server.app.mirror._model
    assert model is not None
    skipped = metrics.SHADOW_ROWS.labels("skipped")._value.get()
    failed = metrics.SHADOW_ROWS.labels("failed")._value.get()

    gate = threading.Event()

    def predict(_rows: object) -> object:
        gate.wait(20)
        raise MemoryError("too large")

    model.predict = predict  # type: ignore[method-assign, assignment]
    body = {"inputs": images(1000).tolist()}
    started = time.monotonic()
    for _ in range(4):
        assert httpx.post(server.url + "/invocations", json=body).is_success
    assert time.monotonic() - started < 10
    assert metrics.SHADOW_ROWS.labels("skipped")._value.get() > skipped
    gate.set()
    _until(lambda: metrics.SHADOW_ROWS.labels("failed")._value.get() > failed)
    server.app.mirror.show_to(None)


def test_keys_stay_with_their_side_and_a_wider_share_moves_nobody_back() -> None:
    keys = [f"user-{n}" for n in range(20_000)]
    arms = {w: {k for k in keys if Split(w, "7").arm(k) == "challenger"} for w in (0, 0.05, 0.2, 1)}
    assert arms[0] == set()
    assert arms[1] == set(keys)
    assert abs(len(arms[0.05]) - 1000) < 5 * math.sqrt(20_000 * 0.05 * 0.95)
    assert arms[0.05] < arms[0.2]
    other = {key for key in keys if Split(0.05, "8").arm(key) == "challenger"}
    assert len(other & arms[0.05]) < 200


def test_a_canary_answers_its_share_stickily(serve: Callable[..., Running]) -> None:
    server = serve()
    _beside(server.home, "2", role="challenger", weight=0.5)
    _until(lambda: server.app.batcher._challenger is not None)
    split = Split(0.5, "2")
    with httpx.Client(base_url=server.url) as client:
        for n in range(30):
            body = {"images": ROWS[:1].tolist(), "entities": [f"u{n}"]}
            by_field = client.post("/predict", json=body).headers["x-model-version"]
            by_header = client.post("/invocations", json={"inputs": ROWS.tolist()},
                                    headers={"X-Entity": f"u{n}"})  # fmt: skip
            wanted = "2" if split.arm(f"u{n}") == "challenger" else "1"
            assert by_field == by_header.headers["x-model-version"] == wanted
            assert by_header.json()["model_version"] == wanted
        nobody = {client.post("/invocations", json={"inputs": ROWS.tolist()})
                  .headers["x-model-version"] for _ in range(30)}  # fmt: skip
    assert nobody == {"1", "2"}
    drop_pointer(server.home, "challenger")
    _until(lambda: server.app.batcher._challenger is None)


def test_a_worker_begins_with_the_canary_that_runs(tmp_path: Path) -> None:
    """One that takes a dead one's place must not send its keys to the champion meanwhile."""
    make_version(tmp_path, "1")
    point(tmp_path, "1")
    _beside(tmp_path, "2", role="challenger", weight=0.5)
    _beside(tmp_path, "3")
    app, watcher = build(ServingConfig("tiny", str(tmp_path), str(tmp_path / "spool"), ""))
    watcher.first()
    app.log.close()
    assert app.batcher.versions() == ["1", "2"]
    assert app.mirror._model is not None
    app.mirror.close()


def test_what_a_challenger_fails_the_champion_answers(tmp_path: Path) -> None:
    make_version(tmp_path, "1")
    make_version(tmp_path, "2", seed=2)
    champion, challenger = (load(Pointer(v, *_named(tmp_path, v), 0.0)) for v in ("1", "2"))
    honest = challenger.predict

    def predict(rows: np.ndarray) -> np.ndarray:
        scores = honest(rows)
        scores[rows.reshape(len(rows), -1).min(axis=1) == 0] = np.nan
        return scores

    challenger.predict = predict  # type: ignore[method-assign, assignment]
    good, bad = np.maximum(images(2), 1), np.zeros_like(images(2))
    before = read_sides()
    ran = run([good, bad, good], ["challenger", "challenger", "champion"], champion, challenger)
    assert [model.version for model, _ in ran] == ["2", "1", "1"]
    assert not any(isinstance(outcome, Exception) for _, outcome in ran)
    sides: Sides = {arm: side.since(before[arm]) for arm, side in read_sides().items()}
    assert (sides["challenger"].failed, sides["challenger"].n) == (1, 2)
    assert (sides["champion"].failed, sides["champion"].n) == (0, 1)


@dataclass
class Asking:
    """A registry in which somebody asks for canaries."""

    asked: Wish | None = None
    down: bool = False
    deaf: bool = False
    answers: list[tuple[str, str]] = field(default_factory=list)

    def wish(self, _site: Site, _project: str, /) -> Wish | None:
        if self.down:
            raise Unavailable("the registry does not answer")
        return self.asked

    def answer(self, _site: Site, _project: str, version: str, text: str, /) -> None:
        if self.down:
            raise Unavailable("the registry does not answer")
        if self.deaf:
            raise RegistryError("no such version, or no right to change it")
        self.answers.append((version, text))
        self.asked = Wish(version, 0.0, text)


@dataclass
class Bench:
    """A canary under test, its registry, and what its workers would have counted."""

    canary: Canary
    asking: Asking
    sides: Sides
    home: Path
    notices: Notices
    again: Callable[..., Canary]

    def count(self, arm: str, n: int, *, failed: int = 0, slow: int = 0) -> None:
        old = self.sides[arm]  # type: ignore[index]
        fresh = Side(old.failed + failed, old.n + n, old.slow + slow, old.races + n)
        self.sides[arm] = fresh  # type: ignore[index]

    def pointed(self) -> tuple[str, float] | None:
        pointer = read_pointer(self.home, "challenger")
        return (pointer.version, pointer.weight) if pointer else None


@pytest.fixture
def bench(site: Site) -> Bench:
    home = site.layout.serving / PROJECT
    for version in ("1", "2"):
        make_version(home, version, seed=int(version))
    point(home, "1")
    asking, notices = Asking(), Notices(site, PROJECT)
    sides: Sides = {"champion": Side(), "challenger": Side()}

    def prepare(version: str, now_s: float) -> Pointer:
        if version == "3":
            raise UnverifiedModel("its bytes are not the ledger's")
        return Pointer(version, *_named(home, version), now_s)

    def make(notices: Notices = notices, **changes: float) -> Canary:
        told = replace(site, settings=Settings(**changes))  # type: ignore[arg-type]
        return Canary(told, PROJECT, asking, prepare=prepare, notices=notices,
                      read=lambda: dict(sides))  # fmt: skip

    return Bench(make(), asking, sides, home, notices, make)


def test_a_canary_follows_what_is_asked_for(bench: Bench) -> None:
    bench.canary.keep(1.0)
    assert bench.pointed() is None
    bench.asking.asked = Wish("2", 0.05, "5%")
    bench.canary.keep(2.0)
    assert bench.pointed() == ("2", 0.05)
    bench.asking.asked = Wish("2", 0.2, "20%")
    bench.canary.keep(3.0)
    assert bench.pointed() == ("2", 0.2)
    state = read_state(bench.home)
    assert state is not None
    assert (state.state, state.since_s) == ("running", 2.0)  # the evidence goes on
    bench.asking.down = True
    with pytest.raises(Unavailable):
        bench.canary.keep(4.0)
    assert bench.pointed() == ("2", 0.2)
    bench.asking = Asking(Wish("2", 0.0, "off"))
    bench.canary._wishes = bench.asking
    bench.canary.keep(5.0)
    assert bench.pointed() is None


def test_a_lost_pointer_of_the_champion_ends_no_canary(bench: Bench) -> None:
    """The workers have it in memory; one that begins while it is lost has nobody beside it."""
    (bench.home / "current.json").unlink()
    bench.asking.asked = Wish("2", 0.05, "5%")
    bench.canary.keep(1.0)
    assert bench.pointed() is None
    point(bench.home, "1")
    bench.canary.keep(2.0)
    (bench.home / "current.json").unlink()
    bench.canary.keep(3.0)
    state = read_state(bench.home)
    assert state is not None
    assert (state.state, bench.pointed()) == ("running", ("2", 0.05))
    bench.asking.asked = Wish("2", 0.0, "off")
    bench.canary.keep(4.0)
    assert bench.pointed() is None


def test_a_promoted_challenger_is_no_canary_any_more(bench: Bench) -> None:
    bench.asking.asked = Wish("2", 0.05, "5%")
    bench.canary.keep(1.0)
    point(bench.home, "2")
    bench.canary.keep(2.0)
    assert bench.pointed() is None


def test_a_rollback_whose_incident_a_kill_prevented_has_it_after_the_next_start(
    bench: Bench, site: Site
) -> None:
    bench.asking.asked = Wish("2", 0.1, "10%")
    bench.canary.keep(1.0)
    bench.count("champion", 1000)
    bench.count("challenger", 200, failed=150)
    bench.canary.keep(2.0)  # rolled back; killed before the notices are kept
    engine = open_database(site.settings.database(site.layout))

    def opened() -> list[str]:
        with engine.connect() as connection:
            return [row.state for row in connection.execute(sa.select(incidents))]

    assert opened() == []
    for start in range(3):
        bench.notices = Notices(site, PROJECT)
        after = bench.again(notices=bench.notices)
        for poll in range(2):
            after.keep(3.0 + start + poll / 2)
            bench.notices.keep(3.0 + start + poll / 2)
        assert opened() == ["resolved" if start else "open"]
        with engine.begin() as connection:  # a person has seen it: it stays closed
            connection.execute(sa.update(incidents).values(state="resolved"))


def test_a_rollback_that_a_kill_cut_off_is_not_undone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.asking.asked = Wish("2", 0.1, "10%")
    bench.canary.keep(1.0)
    bench.count("champion", 1000)
    bench.count("challenger", 200, failed=150)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mlops.serving.canary.drop_pointer", killed)
    with pytest.raises(KeyboardInterrupt):
        bench.canary.keep(2.0)
    monkeypatch.undo()
    assert bench.pointed() is not None
    bench.again().keep(3.0)
    assert bench.pointed() is None
    state = read_state(bench.home)
    assert state is not None
    assert state.state == "rolled back"


def test_a_version_that_is_refused_again_has_an_incident_again(bench: Bench, site: Site) -> None:
    engine = open_database(site.settings.database(site.layout))
    for poll in range(2):
        bench.asking.asked = Wish("3", 0.1, "10%")  # not the ledger's bytes
        bench.canary.keep(2.0 * poll + 1)
        bench.notices.keep(2.0 * poll + 1)
        bench.canary.keep(2.0 * poll + 2)
        with engine.begin() as connection:
            states = [row.state for row in connection.execute(sa.select(incidents))]
            assert states == [*["resolved"] * poll, "open"]
            connection.execute(sa.update(incidents).values(state="resolved"))  # by a person


@pytest.mark.parametrize("bad", ["failed", "slow"])
def test_a_worse_challenger_is_rolled_back_while_the_registry_is_down(
    bench: Bench, site: Site, bad: str
) -> None:
    bench.count("champion", 10_000, failed=5_000)  # before the canary: not its fault
    bench.asking.asked = Wish("2", 0.1, "10%")
    bench.canary.keep(1.0)
    bench.count("champion", 1000)
    bench.canary.keep(2.0)
    bench.asking.down = True
    for poll in range(3):
        bench.count("champion", 500)
        bench.count("challenger", 50)
        with pytest.raises(Unavailable):
            bench.canary.keep(3.0 + poll)
        assert bench.pointed() == ("2", 0.1)
    bench.count("challenger", 200, failed=150 if bad == "failed" else 0,
                slow=150 if bad == "slow" else 0)  # fmt: skip
    with pytest.raises(Unavailable):
        bench.canary.keep(9.0)
    assert bench.pointed() is None
    again = bench.again()  # the follower may be killed before it could tell
    bench.asking.down = False
    again.keep(10.0)
    again.keep(11.0)
    [(version, text)] = bench.asking.answers
    assert version == "2"
    found = {
        "failed": "fails 42.9% of its",
        "slow": "takes over twice the champion's time at 42.9%",
    }
    assert found[bad] in text
    assert bench.pointed() is None
    bench.notices.keep(12.0)
    with open_database(site.settings.database(site.layout)).connect() as connection:
        row = connection.execute(sa.select(incidents)).one()
    assert (row.kind, row.cause, row.state) == ("serving", "canary of version 2", "open")
    bench.asking.asked = Wish("2", 0.1, "10%")  # somebody asks again
    again.keep(13.0)
    assert bench.pointed() == ("2", 0.1)
    seen = beside.canary(bench.home)
    assert seen is not None
    assert (seen.state, seen.requests) == ("running", (0, 0))


@pytest.mark.parametrize("deleted", [True, False])
def test_a_rollback_that_cannot_be_told_is_not_undone(bench: Bench, deleted: bool) -> None:
    """A deleted version is nobody's any more; one whose tag may not change still asks."""
    bench.asking.asked = Wish("2", 0.5, "50%")
    bench.canary.keep(1.0)
    bench.count("champion", 400)
    bench.count("challenger", 400, failed=200)
    bench.asking.deaf = True
    bench.asking.asked = None if deleted else bench.asking.asked
    for now_s in (2.0, 3.0):
        if deleted:
            bench.canary.keep(now_s)
        else:
            with pytest.raises(RegistryError):
                bench.canary.keep(now_s)
        state = read_state(bench.home)
        assert state is not None
        assert (state.state, state.told, bench.pointed()) == ("rolled back", deleted, None)
    make_version(bench.home, "4", seed=4)
    bench.asking.asked = Wish("4", 0.1, "10%")
    bench.canary.keep(4.0)
    assert bench.pointed() is None  # what was rolled back last has its incident first
    bench.notices.keep(4.5)
    bench.canary.keep(5.0)
    assert bench.pointed() == ("4", 0.1)


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({}, True), ({"canary_alpha": 1e-30}, False),
        ({"canary_error_margin": 0.2}, True), ({"canary_slow_margin": 0.2}, True),
        ({"canary_error_margin": 0.2, "canary_slow_margin": 0.2}, False),
    ],
)  # fmt: skip
def test_level_and_margins_are_settings(
    bench: Bench,
    changes: dict[str, float],
    ended: bool,
) -> None:
    """15 % of the requests fail and 15 % are slow: worse than the champion, but by how much?"""
    canary = bench.again(**changes)
    bench.asking.asked = Wish("2", 0.5, "50%")
    canary.keep(1.0)
    bench.count("champion", 400)
    canary.keep(2.0)
    bench.count("champion", 400)
    bench.count("challenger", 400, failed=60, slow=60)
    canary.keep(3.0)
    assert (bench.pointed() is None) == ended


def test_an_unverified_challenger_gets_nothing(bench: Bench) -> None:
    bench.asking.asked = Wish("3", 0.1, "10%")
    bench.canary.keep(1.0)
    assert bench.pointed() is None
    assert bench.asking.answers == [("3", "rolled back: refused: its bytes are not the ledger's")]


def test_the_shadow_alias_is_followed(site: Site) -> None:
    home = site.layout.serving / PROJECT
    make_version(home, "1")
    make_version(home, "2", seed=2)
    point(home, "1")
    shelf, notices = Shelf(home), Notices(site, PROJECT)

    def prepare(version: str, now_s: float) -> Pointer:
        shelf.fetch(site, PROJECT, version)
        return Pointer(version, *_named(home, version), now_s)

    duty = FollowShadow(site, PROJECT, shelf, prepare=prepare, notices=notices)

    def shadow() -> str | None:
        pointer = read_pointer(home, "shadow")
        return pointer.version if pointer else None

    for now_s, (alias, wanted) in enumerate(
        [(None, None), ("2", "2"), ("2", "2"), ("9", None), ("9", None), ("2", "2"), ("1", None)]
    ):
        shelf.alias_of["shadow"] = alias
        duty.keep(float(now_s))
        assert shadow() == wanted
    assert shelf.fetched == ["2", "9", "2"]


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 0.05), (" 0.5 % ", 0.005), ("100%", 1.0), ("101%", None), ("5", None), ("", None),
     ("off", None), ("-5%", None), ("rolled back: 5%", None)],
)  # fmt: skip
def test_shares_are_read_as_people_write_them(text: str, share: float | None) -> None:
    assert read_share(text) == share
    if share:
        assert read_share(write_share(share)) == share


_WORKER = """
from mlops.serving import metrics
metrics.ARM_REQUESTS.labels("challenger", "failed").inc(3)
metrics.ARM_REQUESTS.labels("challenger", "answered").inc(7)
for slow, n in (("champion", 1), ("challenger", 4), ("neither", 20)):
    metrics.ARM_RACES.labels(slow).inc(n)
"""


def test_counts_of_every_worker_are_added_dead_ones_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for _ in range(2):
        subprocess.run([sys.executable, "-c", _WORKER], check=True)
    side = read_sides()["challenger"]
    assert (side.failed, side.n) == (6, 20)
    assert side.slowness() == Tally(8, 50)
    assert read_sides()["champion"].slowness() == Tally(2, 50)
    assert side.since(Side(n=10**6)) == side  # the counting began anew


def test_a_canary_of_an_earlier_release_is_known(tmp_path: Path) -> None:
    """It told slow by a bound in seconds; what was rolled back then stays so."""
    content = {
        "version": "3", "share": 0.05, "state": "rolled back", "since_s": 5.0, "reason": "fails",
        "told": False, "slow_s": 0.0025, "requests": [950, 50], "failed": [0, 1], "slow": [2, 3],
        "noted": True,
    }  # fmt: skip
    files.write_json(tmp_path / "canary.json", content)
    state, seen = read_state(tmp_path), beside.canary(tmp_path)
    assert state is not None
    assert seen is not None
    assert (state.state, state.told, state.races) == ("rolled back", False, 0)
    assert (seen.state, seen.races) == ("rolled back", 0)
