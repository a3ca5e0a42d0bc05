from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.sql import lock
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import ledger as table
from mlops.errors import Busy, LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mlops.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: sa.Engine, tmp_path: Path) -> Ledger:
    # Tests share one Postgres, and nothing can be deleted there: each has a project of its own.
    return Ledger(engine, project_of(tmp_path))


def project_of(tmp_path: Path) -> str:
    return f"p{abs(hash(str(tmp_path))) % 10**12}"


def move(key: str, before: str | None, after: str | None, kind: str = "decided") -> Row:
    return Row(kind, key, 1.5, "me", before, after, '{"words":"é"}')  # type: ignore[arg-type]


def test_rows_are_numbered_chained_and_come_back_equal(ledger: Ledger) -> None:
    first = ledger.append(move("a", None, "1"))
    second = ledger.append(move("b", "1", "2"))
    assert ledger.entries() == (first, second)
    assert (first.number, second.number) == (1, 2)
    assert second.prev_hash == first.hash
    assert ledger.verify_chain() == 2
    assert ledger.in_service() == "2"
    assert ledger.find("decided", "a") == first
    assert ledger.find("applied", "a") is None


def test_the_same_kind_and_key_is_recorded_once(ledger: Ledger) -> None:
    first = ledger.append(move("a", None, "1"))
    again = ledger.append(replace(move("a", "7", "8"), actor="somebody else"), champion="9")
    assert again == first
    assert len(ledger.entries()) == 1
    ledger.append(move("a", None, "1", "applied"))
    assert len(ledger.entries()) == 2


def test_a_decision_on_a_replaced_champion_is_refused_and_leaves_no_row(ledger: Ledger) -> None:
    ledger.append(move("a", None, "1"), champion=None)
    ledger.append(move("b", "1", "2"), champion="1")
    with pytest.raises(LedgerError, match="version 2 came into service"):
        ledger.append(move("c", "1", "3"), champion="1")
    with pytest.raises(LedgerError, match="run again: mlops promote"):
        ledger.append(move("d", None, "3"), champion=None)
    assert ledger.in_service() == "2"
    assert ledger.verify_chain() == 2


def test_a_version_is_vouched_for_by_its_newest_registration(ledger: Ledger) -> None:
    assert ledger.registered("1") is None
    ledger.append(move("a", None, "1", "registered"))
    newest = ledger.append(move("b", None, "1", "registered"))
    assert ledger.registered("1") == newest
    assert ledger.in_service() is None
    assert ledger.last_move() is None


def test_projects_do_not_see_each_other(engine: sa.Engine, ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(move("a", None, "1"))
    other = Ledger(engine, f"{project_of(tmp_path)}x")
    assert other.entries() == ()
    assert other.append(move("a", None, "5")).number == 1
    assert ledger.in_service() == "1"


@pytest.mark.parametrize("column", ["actor", "body", "to_version", "hash"])
def test_a_row_changed_behind_our_back_is_named(tmp_path: Path, column: str) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/mlops.db")
    ledger = Ledger(engine, "p")
    for n in range(3):
        ledger.append(move(str(n), None, str(n)))
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_no_update"))
        connection.execute(sa.update(table).where(table.c.number == 2).values({column: "x"}))
    with pytest.raises(LedgerError, match="row 2 does not match"):
        ledger.verify_chain()
    engine.dispose()


def test_a_row_deleted_behind_our_back_is_named(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/mlops.db")
    ledger = Ledger(engine, "p")
    for n in range(3):
        ledger.append(move(str(n), None, str(n)))
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_no_delete"))
        connection.execute(sa.text("DELETE FROM ledger WHERE number = 2"))
    with pytest.raises(LedgerError, match="row 2"):
        ledger.verify_chain()
    engine.dispose()


def test_a_row_is_not_replaced_by_an_insert(tmp_path: Path) -> None:
    """`INSERT OR REPLACE` fires no trigger of UPDATE or DELETE."""
    engine = open_database(f"sqlite:///{tmp_path}/mlops.db")
    ledger = Ledger(engine, "p")
    for n in range(3):
        ledger.append(move(str(n), None, str(n)))
    with engine.connect() as connection:
        row = dict(connection.execute(sa.select(table).where(table.c.number == 2)).one()._mapping)
    for other in ({"body": "x"}, {"body": "x", "seq": 99}, {"body": "x", "seq": 99, "number": 99}):
        forged = table.insert().prefix_with("OR REPLACE").values({**row, **other})
        with (
            pytest.raises(sa.exc.IntegrityError, match="append-only"),
            engine.begin() as connection,
        ):
            connection.execute(forged)
    ledger.verify_chain()
    engine.dispose()


def test_many_writers_at_once_make_one_unbroken_chain(ledger: Ledger) -> None:
    def write(n: int) -> None:
        ledger.append(move(f"own {n}", None, None, "applied"))
        ledger.append(move("shared", None, "1"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(16)))
    assert ledger.verify_chain() == 17


def test_of_many_promoters_against_one_champion_one_wins(ledger: Ledger) -> None:
    def promote(version: int) -> bool:
        try:
            ledger.append(move(f"to {version}", None, str(version)), champion=None)
        except LedgerError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(promote, range(1, 9)))
    assert won.count(True) == 1
    assert ledger.in_service() == str(won.index(True) + 1)


def test_the_right_to_move_aliases_is_exclusive_and_dies_with_its_process(
    url: str, engine: sa.Engine, tmp_path: Path
) -> None:
    project = project_of(tmp_path)
    held = (
        "import sys, time\n"
        "from mlops.adapters.ledger import Ledger\n"
        "from mlops.adapters.sql.engine import open_database\n"
        "with Ledger(open_database(sys.argv[1]), sys.argv[2]).exclusive():\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", held, url, project], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        ledger = Ledger(engine, project)
        with ThreadPoolExecutor(1) as pool:

            def enter() -> bool:
                with ledger.exclusive():
                    return True

            waiting = pool.submit(enter)
            ledger.append(move("a", None, "1"))  # reading and recording go on meanwhile
            assert not waiting.done()
            holder.kill()
            assert waiting.result(timeout=20)
    finally:
        holder.kill()
        holder.wait(10)
        assert holder.stdout is not None
        holder.stdout.close()


def test_whoever_waits_long_for_the_right_says_so_and_gets_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_SILENT_S", 1)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with ledger.exclusive():
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    timer = threading.Timer(1.3, release.set)
    timer.start()
    with capture_logs() as logs, ledger.exclusive(wait_s=30):
        holder.join(30)
    [told] = logs
    assert told["event"] == "waiting for another process that moves aliases"
    assert (told["at_most_s"], told["lock"].endswith(".alias")) == (30, True)


def test_a_right_held_too_long_is_busy_and_comes_free_again(ledger: Ledger) -> None:
    first, second = ledger.exclusive(), ledger.exclusive(wait_s=1)
    with first, pytest.raises(Busy, match="another process"), second:
        pytest.fail("two hold it")
    with ledger.exclusive():
        assert ledger.append(move("a", None, "1")).number == 1
