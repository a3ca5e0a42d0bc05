"""The follower: good versions come into service, bad ones never do, and absences are survived."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from mlops.adapters.seal import is_verified
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import incidents
from mlops.errors import RegistryError, Unavailable, UnverifiedModel
from mlops.serving import following as module
from mlops.serving import metrics
from mlops.serving.beat import READY
from mlops.serving.config import EXIT_NO_MODEL
from mlops.serving.damage import Damage, DamageBeside
from mlops.serving.follower import Follower, prepare
from mlops.serving.following import Bell, follow
from mlops.serving.model import load, read_pointer, sealed
from mlops.serving.notices import Notices
from mlops.serving.pointer import Pointer, write_pointer
from tests.serving.tiny import make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.serving.pointer import Role
    from mlops.site import Site


@dataclass
class Shelf:
    """A registry of folders."""

    home: Path
    alias_of: dict[str, str | None] = field(default_factory=dict)
    down: bool = False
    fetched: list[str] = field(default_factory=list)

    def champion(self, _site: Site, _project: str, /) -> str | None:
        if self.down:
            raise Unavailable("the registry does not answer")
        return self.alias_of.get("champion")

    def alias(self, _site: Site, _project: str, name: str, /) -> str | None:
        return self.alias_of.get(name)

    def fetch(self, _site: Site, _project: str, version: str, /) -> Path:
        self.fetched.append(version)
        if not (self.home / version).is_dir():
            raise RegistryError(f"no version {version}")
        return self.home / version


@pytest.fixture
def shelf(site: Site) -> Shelf:
    return Shelf(site.layout.serving / "tiny")


def made(site: Site, shelf: Shelf) -> Follower:
    """Return a follower whose notices nobody writes down."""
    return Follower(site, "tiny", shelf, Notices(site, "tiny"))


def _until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    end_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def _incidents(site: Site, notices: Notices) -> list[tuple[str, str, str]]:
    notices.keep(1.0)
    engine = open_database(site.settings.database(site.layout))
    query = sa.select(incidents.c.kind, incidents.c.version, incidents.c.state)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_the_champion_comes_into_service(site: Site, shelf: Shelf) -> None:
    notices = Notices(site, "tiny")
    follower = Follower(site, "tiny", shelf, notices)
    assert follower.poll(1.0) is None
    for version in ("1", "2", "1"):
        if not (shelf.home / version).exists():
            make_version(shelf.home, version, seed=int(version))
        shelf.alias_of["champion"] = version
        assert follower.poll(2.0) == version
        pointer = read_pointer(shelf.home)
        assert pointer is not None
        assert load(pointer).version == version
    assert follower.poll(3.0) == "1"
    assert shelf.fetched == ["1", "2", "1"]
    assert _incidents(site, notices) == []


def _missing(home: Path) -> None:
    home.mkdir(exist_ok=True)


def _wrong_golden(home: Path) -> None:
    make_version(home, "2", wrong=0.001)


def _changed(home: Path) -> None:
    (make_version(home, "2") / "model.onnx").write_bytes(b"other")


def _added(home: Path) -> None:
    (make_version(home, "2") / "extra.py").write_text("import os")


def _no_manifest(home: Path) -> None:
    (make_version(home, "2") / "manifest.json").unlink()


def _other_shape(home: Path) -> None:
    from mlops.adapters import files, seal

    folder = make_version(home, "2")
    files.write_json(folder / "model.json", {"schema": {"classes": ["a"], "height": 4}})
    seal.write_manifest(folder)


BAD = [_missing, _wrong_golden, _changed, _added, _no_manifest, _other_shape]


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_version_is_refused_and_the_old_one_serves(
    spoil: Callable[[Path], None], site: Site, shelf: Shelf
) -> None:
    notices = Notices(site, "tiny")
    follower = Follower(site, "tiny", shelf, notices)
    make_version(shelf.home, "1")
    shelf.alias_of["champion"] = "1"
    follower.poll(1.0)
    spoil(shelf.home)
    shelf.alias_of["champion"] = "2"
    for now_s in (2.0, 3.0, 4.0):
        assert follower.poll(now_s) == "1"
    assert shelf.fetched == ["1", "2"]  # not tried again at every poll
    assert _incidents(site, notices) == [("serving", "2", "open")]
    shelf.alias_of["champion"] = "1"
    follower.poll(5.0)
    assert _incidents(site, notices) == [("serving", "2", "resolved")]


def test_incidents_wait_for_the_database(site: Site, shelf: Shelf) -> None:
    notices = Notices(site, "tiny")
    follower = Follower(site, "tiny", shelf, notices)
    shelf.alias_of["champion"] = "7"
    state = site.layout.database
    state.mkdir(parents=True)  # no database can be opened there
    assert follower.poll(1.0) is None
    with pytest.raises(Unavailable):
        notices.keep(1.0)
    state.rmdir()
    assert _incidents(site, notices) == [("serving", "7", "open")]


def test_a_registry_that_is_down_stops_nothing(site: Site, shelf: Shelf) -> None:
    make_version(shelf.home, "1")
    point(shelf.home, "1")
    shelf.down = True
    follower = made(site, shelf)
    assert follower.cached()
    with pytest.raises(Unavailable):
        follower.poll(1.0)
    current = read_pointer(shelf.home)
    assert current is not None
    assert current.version == "1"


def test_a_damaged_cache_is_not_served(site: Site, shelf: Shelf) -> None:
    (make_version(shelf.home, "1") / "golden.npz").write_bytes(b"")
    point(shelf.home, "1")
    pointer = read_pointer(shelf.home)
    assert pointer is not None
    with pytest.raises(UnverifiedModel, match="golden"):
        load(pointer)
    notices = Notices(site, "tiny")
    follower = Follower(site, "tiny", shelf, notices)
    shelf.alias_of["champion"] = "1"
    assert not follower.cached()
    assert follower.poll(2.0) is None  # the registry's is no better
    assert _incidents(site, notices) == [("serving", "1", "open")]


@pytest.mark.parametrize("pointer", ["", "{}", "[]", "{"])
def test_without_registry_and_cache_it_gives_up_with_a_line(
    pointer: str, site: Site, shelf: Shelf,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if pointer:
        shelf.home.mkdir(parents=True)
        (shelf.home / "current.json").write_text(pointer)
    monkeypatch.setattr(module, "START_S", 0.1)
    shelf.down = True
    code = follow(made(site, shelf), 0.05, Bell())
    assert code == EXIT_NO_MODEL
    assert "does not answer; no cached version to serve" in capsys.readouterr().err


def test_a_worker_that_serves_from_memory_is_not_given_up(
    site: Site, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The follower was started again, the registry is down, and the copy was damaged meanwhile."""
    monkeypatch.setattr(module, "START_S", 0.1)
    (make_version(shelf.home, "1") / "golden.npz").write_bytes(b"")
    point(shelf.home, "1")
    (shelf.home / "alive").mkdir()
    (shelf.home / "alive" / "1").touch(mode=READY)
    shelf.down = True
    bell = Bell()
    threading.Timer(0.5, bell.end).start()
    assert follow(made(site, shelf), 0.05, bell) == 0


def spoil(shelf: Shelf, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage a copy, as a worker finds when it starts; whoever fetches it makes it whole."""
    model = shelf.home / version / "model.onnx"
    whole, fetch = model.read_bytes(), shelf.fetch

    def mended(site: Site, project: str, wanted: str, /) -> Path:
        if wanted == version:
            model.write_bytes(whole)
        return fetch(site, project, wanted)

    model.write_bytes(whole[:-1])
    metrics.LOAD_FAILURES.inc()
    monkeypatch.setattr(shelf, "fetch", mended)


def is_whole(home: Path) -> bool:
    pointer = read_pointer(home)
    assert pointer is not None
    return is_verified(Path(pointer.folder), pointer.digest)


def test_a_copy_that_a_worker_could_not_load_is_verified_and_fetched_again(
    site: Site, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = made(site, shelf)
    make_version(shelf.home, "1")
    shelf.alias_of["champion"] = "1"
    follower.poll(1.0)
    damage = Damage(follower)
    metrics.LOAD_FAILURES.inc()
    damage.keep(1.0)  # it was something else
    spoil(shelf, "1", monkeypatch)
    damage.keep(2.0)
    assert shelf.fetched == ["1", "1"]
    assert is_whole(shelf.home)
    assert (follower.poll(3.0), shelf.fetched) == ("1", ["1", "1"])
    spoil(shelf, "1", monkeypatch)
    assert not follower.cached()  # as a poll finds it that comes first
    assert (follower.poll(4.0), shelf.fetched) == ("1", ["1", "1", "1"])
    held = read_pointer(shelf.home)
    assert held is not None
    assert held.since_s == 1.0  # it was in service all the time


@pytest.mark.parametrize("new", ["2", None])
@pytest.mark.parametrize("again", [False, True])
def test_the_old_copy_is_mended_while_it_is_no_champion_any_more(
    new: str | None, again: bool, site: Site, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new champion is refused, or there is none: the old version is what users are given."""
    follower = made(site, shelf)
    make_version(shelf.home, "1")
    make_version(shelf.home, "2", wrong=0.5)
    shelf.alias_of["champion"] = "1"
    follower.poll(1.0)
    shelf.alias_of["champion"] = new
    assert follower.poll(2.0) == "1"
    damage = Damage(follower)
    spoil(shelf, "1", monkeypatch)
    if again:  # after the follower died
        follower = made(site, shelf)
        assert not follower.cached()
        damage = Damage(follower)
    damage.keep(3.0)
    assert is_whole(shelf.home)
    assert follower.poll(4.0) == "1"


def test_a_lost_copy_is_not_asked_for_at_every_poll(site: Site, shelf: Shelf) -> None:
    notices = Notices(site, "tiny")
    follower = Follower(site, "tiny", shelf, notices)
    folder = make_version(shelf.home, "1")
    shelf.alias_of["champion"] = "1"
    follower.poll(1.0)
    damage = Damage(follower)
    (folder / "model.onnx").unlink()
    metrics.LOAD_FAILURES.inc()
    for now_s in (2.0, 3.0, 4.0):
        damage.keep(now_s)
        assert follower.poll(now_s) is None
    assert shelf.fetched == ["1", "1"]
    assert (_incidents(site, notices), metrics.REFUSED._value.get()) == (
        [("serving", "1", "open")],
        1.0,
    )


@pytest.mark.parametrize("role", ["challenger", "shadow"])
def test_the_copy_of_who_stands_beside_is_fetched_again_too(
    role: Role, site: Site, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_version(shelf.home, "2")
    held = Pointer("2", str(folder), sealed(folder), 1.0, weight=0.05)
    write_pointer(shelf.home, held, role)
    beside = DamageBeside(shelf.home, partial(prepare, shelf, site, "tiny"))
    beside.keep(2.0)
    metrics.LOAD_FAILURES.inc()
    beside.keep(3.0)  # it was something else
    assert shelf.fetched == []
    spoil(shelf, "2", monkeypatch)
    beside.keep(4.0)
    assert shelf.fetched == ["2"]
    assert is_verified(folder, held.digest)
    assert read_pointer(shelf.home, role) == held  # with its share, since when it was
    (folder / "model.onnx").unlink()
    nothing = Shelf(shelf.home / "nothing")
    monkeypatch.setattr(shelf, "fetch", nothing.fetch)
    for now_s in (5.0, 70.0, 75.0):  # the registry has it no more: not asked at every failure
        metrics.LOAD_FAILURES.inc()
        beside.keep(now_s)
    assert nothing.fetched == ["2"]
    assert read_pointer(shelf.home, role) == held


@pytest.mark.parametrize("gone", ["{}", ""])
def test_a_lost_pointer_is_written_anew_though_the_alias_is_gone(
    gone: str, site: Site, shelf: Shelf
) -> None:
    follower = made(site, shelf)
    make_version(shelf.home, "1")
    shelf.alias_of["champion"] = "1"
    follower.poll(1.0)
    held = read_pointer(shelf.home)
    shelf.alias_of["champion"] = None
    damage = Damage(follower)
    if gone:
        (shelf.home / "current.json").write_text(gone)
        metrics.LOAD_FAILURES.inc()
    else:
        (shelf.home / "current.json").unlink()
    damage.keep(2.0)
    assert held == read_pointer(shelf.home)


def test_a_registry_without_a_champion_is_waited_for(
    site: Site, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_S", 0.0)
    bell = Bell()
    threading.Timer(0.3, bell.end).start()
    assert follow(made(site, shelf), 0.05, bell) == 0


def test_a_database_that_is_away_at_the_start_is_no_answer(
    site: Site, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registry names a champion, but nobody can vouch for it."""

    def away(*_: object) -> Path:
        raise Unavailable("database: connection refused")

    monkeypatch.setattr(module, "START_S", 0.1)
    monkeypatch.setattr(shelf, "fetch", away)
    shelf.alias_of["champion"] = "1"
    assert follow(made(site, shelf), 0.05, Bell()) == EXIT_NO_MODEL
    assert "connection refused; no cached version" in capsys.readouterr().err


def test_the_bell_polls_at_once(site: Site, shelf: Shelf) -> None:
    make_version(shelf.home, "1")
    bell = Bell()
    thread = threading.Thread(target=follow, args=(made(site, shelf), 60.0, bell))
    thread.start()
    time.sleep(0.2)
    assert read_pointer(shelf.home) is None
    shelf.alias_of["champion"] = "1"
    bell.ring()
    _until(lambda: read_pointer(shelf.home) is not None)
    bell.end()
    thread.join(5)
    assert not thread.is_alive()


def test_what_is_refused_stands_in_the_metrics_until_it_is_not(site: Site, shelf: Shelf) -> None:
    follower = made(site, shelf)
    make_version(shelf.home, "1")
    shelf.alias_of["champion"] = "1"
    follower.poll(1.0)
    assert metrics.REFUSED._value.get() == 0.0
    make_version(shelf.home, "2", wrong=0.1)
    shelf.alias_of["champion"] = "2"
    follower.poll(1e6)
    assert metrics.REFUSED._value.get() == 1.0
    follower.poll(-1e6)  # a clock that jumped back does not refuse it any longer than forward
    assert shelf.fetched.count("2") == 2
    shelf.alias_of["champion"] = "1"
    follower.poll(2e6)
    assert metrics.REFUSED._value.get() == 0.0


def test_staleness_grows_while_the_registry_is_down(site: Site, shelf: Shelf) -> None:
    follower = made(site, shelf)
    shelf.down = True
    time.sleep(0.05)
    with pytest.raises(Unavailable):
        follower.poll(1.0)
    follower.tell_staleness()
    assert metrics.STALENESS._value.get() >= 0.05
    shelf.down = False
    follower.poll(2.0)
    follower.tell_staleness()
    assert metrics.STALENESS._value.get() < 0.05
