"""Open the project's database: SQLite in WAL mode or Postgres, brought up to date by Alembic."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from filelock import FileLock

from mlops.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.site import Site

_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_KEY = 0x6D6C6F7073  # "mlops": one migration at a time on Postgres
_BUSY_MS = 30_000
_UPGRADING = threading.Lock()  # Alembic keeps what it is at in its modules
_PATIENCE = {
    "connect_timeout": 5,  # seconds; psycopg's own is two minutes
    "tcp_user_timeout": 10_000,  # milliseconds that what was sent may stay unacknowledged
    "keepalives_idle": 10,  # seconds of silence after which the other side is asked for a sign
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""How soon a Postgres whose host is gone counts as away; a statement at work may take its time."""


def open_database(url: str) -> sa.Engine:
    """Connect and migrate to the newest revision; safe to call from many processes at once.

    Args:
        url: of the database; what its query says of timeouts stands.

    Raises:
        Unavailable: if the database cannot be reached.
    """
    parsed = sa.make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    sqlite = parsed.get_backend_name() == "sqlite"
    if sqlite and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    patience = {} if sqlite else {k: v for k, v in _PATIENCE.items() if k not in parsed.query}
    engine = sa.create_engine(parsed, pool_pre_ping=not sqlite, connect_args=patience)
    if sqlite:
        sa.event.listen(engine, "connect", _tune_sqlite)
    try:
        _migrate(engine)
    except sa.exc.OperationalError as error:
        shown = parsed.render_as_string(hide_password=True)
        reason = str(error.orig).splitlines()[0]
        msg = f"database {shown}: {reason}; check MLOPS_DATABASE_URL"
        raise Unavailable(msg) from None
    return engine


@contextmanager
def database(site: Site) -> Iterator[sa.Engine]:
    """Open a site's database for the length of a block."""
    engine = open_database(site.settings.database(site.layout))
    try:
        yield engine
    finally:
        engine.dispose()


def _tune_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _migrate(engine: sa.Engine) -> None:
    if _is_newest(engine):
        return
    if engine.dialect.name == "sqlite":
        if not engine.url.database:
            _upgrade(engine)
            return
        with FileLock(f"{engine.url.database}.migrate.lock"):
            _upgrade(engine)
        return
    with engine.connect() as guard:
        guard.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_KEY})
        try:
            _upgrade(engine)
        finally:
            guard.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_KEY})


def newest_revision() -> str:
    """Return the newest revision by the names of the migrations: `0002_add_x.py` is `0002`."""
    found = (_MIGRATIONS / "versions").glob("[0-9][0-9][0-9][0-9]_*.py")
    return max(path.name[:4] for path in found)


def _is_newest(engine: sa.Engine) -> bool:
    """Say whether there is nothing to migrate, without Alembic: importing it takes 0.2 s."""
    query = sa.text("SELECT version_num FROM mlops_revision")
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("mlops_revision"):
            return False
        return list(connection.execute(query).scalars()) == [newest_revision()]


def _upgrade(engine: sa.Engine) -> None:
    if _is_newest(engine):
        return  # another process was first
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with _UPGRADING, engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
