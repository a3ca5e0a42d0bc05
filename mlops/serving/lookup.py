"""Reading single predictions back from the log."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mlops.serving.reply import Refused

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.core.prediction import Labelled, Logged
    from mlops.serving.config import ServingConfig
    from mlops.serving.desk import Desk


class Lookup:
    """Reads single predictions; opens the database at the first call.

    Args:
        config: whose database, and which project.
        desk: where the database is asked.
    """

    def __init__(self, config: ServingConfig, desk: Desk) -> None:
        self._project, self._url, self._desk = config.project, config.database_url, desk
        self._engine: sa.Engine | None = None
        self._guard = threading.Lock()

    async def find(self, identity: str) -> tuple[Logged | Labelled, float | None] | None:
        """Return one prediction and its score, or None.

        Raises:
            Refused: 503 while the database is away, or has too much to do.
        """
        try:
            return await self._desk.ask(lambda: self._find(identity))
        except TimeoutError:
            raise _away() from None

    def _find(self, identity: str) -> tuple[Logged | Labelled, float | None] | None:
        import sqlalchemy as sa

        from mlops.adapters.predictions import find
        from mlops.adapters.scores import score_of
        from mlops.adapters.sql.engine import open_database
        from mlops.errors import Unavailable

        try:
            with self._guard:
                if self._engine is None:
                    self._engine = open_database(self._url)
            found = find(self._engine, self._project, identity)
            if found is None:
                return None
            return found, score_of(self._engine, self._project, identity)
        except (Unavailable, OSError, sa.exc.SQLAlchemyError):
            raise _away() from None


def _away() -> Refused:
    return Refused(503, "database_away", "the prediction log does not answer", retry_s=5,
                   remedy="try again later")  # fmt: skip
