"""What the page tells of the project beyond this process: the last decision and incidents."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.serving.pointer import read_pointer

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.history import Moment
    from mlops.adapters.incidents import Incident
    from mlops.serving.config import ServingConfig

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
    """Reads the situation, at most every few seconds, in a thread."""

    def __init__(self, config: ServingConfig) -> None:
        self._config = config
        self._engine: sa.Engine | None = None
        self._known: Situation | None = None
        self._read_s = 0.0
        self._turn = asyncio.Lock()

    async def now(self) -> Situation:
        """Return the situation as it was at most five seconds ago."""
        async with self._turn:
            if self._known is None or time.monotonic() - self._read_s > _KEEP_S:
                self._known = await asyncio.to_thread(self._read)
                self._read_s = time.monotonic()
            return self._known

    def _read(self) -> Situation:
        import sqlalchemy as sa

        from mlops.adapters.history import moments
        from mlops.adapters.incidents import recent
        from mlops.adapters.sql.engine import open_database
        from mlops.errors import MlopsError

        project = self._config.project
        pointer, damaged = None, False
        try:
            pointer = read_pointer(self._config.folder)
        except (MlopsError, OSError):  # the watcher tells of it; workers serve what they have
            damaged = True
        since_s = pointer.since_s if pointer else None
        try:
            if self._engine is None:
                self._engine = open_database(self._config.database_url)
            told = moments(self._engine, project)
            with self._engine.connect() as connection:
                found = recent(connection, project, _INCIDENTS)
        except (MlopsError, OSError, sa.exc.SQLAlchemyError):
            return Situation(since_s, None, (), away=True, damaged=damaged)
        moved = (m for m in told if pointer and m.after == pointer.version != m.before)
        incidents = tuple(sorted(found, key=lambda one: one.state != "open"))
        return Situation(since_s, next(moved, None), incidents, damaged=damaged)
