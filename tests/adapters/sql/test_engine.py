from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from mlops.adapters.predictions import find, insert_batch
from mlops.adapters.sql import engine as engine_module
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import ledger, metadata, predictions
from mlops.core.prediction import Logged, Prediction
from mlops.errors import Unavailable
from tests.silent import silent_database

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/mlops.db"
    return str(request.getfixturevalue("postgres_url"))


def test_migrations_build_exactly_the_declared_tables(url: str) -> None:
    engine = open_database(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": "mlops_revision", "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_many_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mlops.db"
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(open_database, [url] * 8))
    names = {frozenset(sa.inspect(engine).get_table_names()) for engine in engines}
    assert len(names) == 1
    assert set(metadata.tables) <= next(iter(names))


def test_one_process_may_open_several_new_databases_at_once(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{n}.db" for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        engines = list(pool.map(open_database, urls))
    for engine in engines:
        assert set(metadata.tables) <= set(sa.inspect(engine).get_table_names())


@pytest.mark.parametrize("statement", ["UPDATE ledger SET actor = 'x'", "DELETE FROM ledger"])
def test_the_database_refuses_to_change_the_ledger(url: str, statement: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        held = connection.execute(sa.select(sa.func.count()).select_from(ledger)).scalar_one()
        connection.execute(
            ledger.insert().values(
                project="p",
                number=held + 1,
                at_s=0.0,
                kind="decided",
                key=f"k{held}",
                actor="me",
                body="{}",
                prev_hash="",
                hash=f"h{held}",
            )
        )
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def test_an_unreachable_database_is_named_without_its_password() -> None:
    with pytest.raises(Unavailable, match="check MLOPS_DATABASE_URL") as caught:
        open_database("postgresql://user:s3cret@127.0.0.1:1/nothing")
    assert "s3cret" not in str(caught.value)


def test_the_newest_revision_by_name_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(engine_module._MIGRATIONS))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert engine_module.newest_revision() == head


def test_a_log_of_the_release_before_is_taken_over(url: str) -> None:
    engine = open_database(url)
    config = Config()
    config.set_main_option("script_location", str(engine_module._MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        old = sa.text(
            "INSERT INTO predictions (project, id, at_s, version, example_id, probabilities, "
            "latency_s) VALUES ('before', 'old', 1.0, '1', 'e', :scores, 0.1)"
        )
        connection.execute(old, {"scores": b""})
    engine.dispose()
    engine = open_database(url)
    new = Prediction("new", 2.0, "1", "e", None, b"[null]", b"", 0.1, None, ("last, first", "é"))
    assert insert_batch(engine, "before", [new]) == (1, 0)
    found = [find(engine, "before", name) for name in ("old", "new")]
    assert [one.prediction.redacted for one in found if isinstance(one, Logged)] == [
        (), ("last, first", "é")]  # fmt: skip
    with engine.connect() as connection:
        whole = sa.select(predictions.c.id).where(predictions.c.redacted.is_(None))
        assert [*connection.scalars(whole.where(predictions.c.project == "before"))] == ["old"]
    engine.dispose()


def test_a_database_that_is_up_to_date_needs_no_alembic(url: str) -> None:
    open_database(url).dispose()
    code = (
        "import sys; from mlops.adapters.sql.engine import open_database\n"
        "open_database(sys.argv[1]).dispose()\n"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, url], check=True)


@pytest.mark.parametrize(("query", "least_s"), [("", 4.5), ("?connect_timeout=2", 1.5)])
def test_a_silent_database_is_away_soon(query: str, least_s: float) -> None:
    """After five seconds, or after what its address says."""
    began_s = time.monotonic()
    with silent_database() as url, pytest.raises(Unavailable, match="MLOPS_DATABASE_URL"):
        open_database(url + query)
    assert least_s < time.monotonic() - began_s < least_s + 2.0
