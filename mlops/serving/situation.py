"""What the page tells of the project beyond this process: the last decision and incidents."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.serving.pointer import read_pointer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from mlops.adapters.history import Moment
    from mlops.adapters.incidents import Incident
    from mlops.serving.config import ServingConfig
    from mlops.serving.desk import Desk

_KEEP_S = 5.0
_INCIDENTS = 5


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known.

    Attributes:
        since_s: when the version came into service here; None if unknown.
        why: the ledger's last move of the champion; None if there is none.
        incidents: the newest, open ones first.
        away: whether the database did not answer, so that the last two are missing.
        damaged: whether nobody can tell which version was put into service, so that the first two
            are missing.
    """

    since_s: float | None
    why: Moment | None
    incidents: tuple[Incident, ...]
    away: bool = False
    damaged: bool = False


class Situations:
    """Reads the situation, at most every few seconds.

    Args:
        config: of the server.
        desk: where the database is asked.
    """

    def __init__(self, config: ServingConfig, desk: Desk) -> None:
        self._config, self._desk = config, desk
        self._engine: sa.Engine | None = None
        self._known: Situation | None = None
        self._read_s = 0.0
        self._turn = asyncio.Lock()

    async def now(self) -> Situation:
        """Return the situation as it was at most five seconds ago."""
        async with self._turn:
            if self._known is None or time.monotonic() - self._read_s > _KEEP_S:
                self._known = await self._look()
                self._read_s = time.monotonic()
            return self._known

    async def _look(self) -> Situation:
        from mlops.errors import MlopsError

        pointer, damaged = None, False
        try:
            pointer = read_pointer(self._config.folder)
        except (MlopsError, OSError):  # the watcher tells of it; workers serve what they have
            damaged = True
        since_s = pointer.since_s if pointer else None
        try:
            known = await self._desk.ask(self._read)
        except TimeoutError:
            known = None
        if known is None:
            return Situation(since_s, None, (), away=True, damaged=damaged)
        told, found = known
        moved = (m for m in told if pointer and m.after == pointer.version != m.before)
        return Situation(since_s, next(moved, None), tuple(found), damaged=damaged)

    def _read(self) -> tuple[Sequence[Moment], Sequence[Incident]] | None:
        """Return the moves, and the incidents as shown; None if the database is away."""
        import sqlalchemy as sa

        from mlops.adapters.history import moments
        from mlops.adapters.incidents import find_all_open, recent
        from mlops.adapters.sql.engine import open_database
        from mlops.errors import MlopsError

        try:
            if self._engine is None:
                self._engine = open_database(self._config.database_url)
            told = moments(self._engine, self._config.project)
            with self._engine.connect() as connection:
                held = find_all_open(connection, self._config.project)
                ended = [i for i in recent(connection, self._config.project) if i.state != "open"]
                shown = max(_INCIDENTS, len(held))  # however old an open one is
                return told, (*reversed(held), *ended)[:shown]
        except (MlopsError, OSError, sa.exc.SQLAlchemyError):
            return None
