"""What becomes of a prediction's row: in the log, on its way there, or never.

The log's own word comes first: another server may have written it, or this one under other
settings. Of what it does not hold the id tells the rest: whether the row was kept at all, and, by
its time, whether it can still wait in the spool.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlops.serving import spool
from mlops.serving.ids import is_drawn, made_ns
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.core.prediction import Labelled, Logged
    from mlops.serving.config import ServingConfig
    from mlops.serving.desk import Desk
    from mlops.serving.ids import Minter

_MAX_ID = 64
_LATE_NS = 300 * 10**9  # that a row may take to the spool, on a disk that was full meanwhile
_DAY_NS = 86_400 * 10**9


class Found(NamedTuple):
    """What the log holds of one prediction.

    Attributes:
        logged: its row; None if there is none.
        score: its newest score; None for none.
        waits: whether the row may still be on its way.
    """

    logged: Logged | Labelled | None
    score: float | None
    waits: bool


class Lookup:
    """Reads single predictions; opens the database at the first call.

    Args:
        config: whose database, spool and settings of the log, and which project.
        minter: recognises the project's ids.
        desk: where the database is asked.
    """

    def __init__(self, config: ServingConfig, minter: Minter, desk: Desk) -> None:
        self._config, self._minter, self._desk = config, minter, desk
        self._engine: sa.Engine | None = None
        self._guard = threading.Lock()

    def expects(self, identity: str) -> bool:
        """Say, without a look, whether a prediction is in the log or on its way there."""
        days = self._config.log_days
        return self._is_kept(identity) and (
            not days or time.time_ns() - made_ns(identity) < days * _DAY_NS
        )

    async def find(self, identity: str) -> Found:
        """Return what the log holds of a prediction.

        Raises:
            Refused: 503 while the database is away, or has too much to do.
        """
        try:
            return await self._desk.ask(lambda: self._find(identity))
        except TimeoutError:
            raise _away() from None

    def absent(self, identity: str) -> Refused:
        """Return what is told of a prediction that is not in the log and never will be."""
        if self._minter.of_bulk(identity):
            return _not_logged(identity, "`mlops score` logs none")
        if self._minter.genuine(identity) and not self._is_kept(identity):
            return _not_logged(identity, f"MLOPS_LOG_SAMPLE keeps {self._config.sample:.3g} of all")
        return unknown()

    def _is_kept(self, identity: str) -> bool:
        return self._minter.genuine(identity) and is_drawn(identity, self._config.sample)

    def _find(self, identity: str) -> Found:
        import sqlalchemy as sa

        from mlops.adapters.predictions import find
        from mlops.adapters.scores import score_of
        from mlops.adapters.sql.engine import open_database
        from mlops.errors import Unavailable

        project = self._config.project
        waits = self._may_wait(identity)  # first: what leaves the spool from now on is found
        try:
            with self._guard:
                if self._engine is None:
                    self._engine = open_database(self._config.database_url)
            logged = find(self._engine, project, identity)
            score = None if logged is None else score_of(self._engine, project, identity)
        except (Unavailable, OSError, sa.exc.SQLAlchemyError):
            raise _away() from None
        return Found(logged, score, waits)

    def _may_wait(self, identity: str) -> bool:
        """Say whether a row is young, or as young as what waits in the spool."""
        if not self._is_kept(identity):
            return False
        late_ns, now_ns = made_ns(identity) + _LATE_NS, time.time_ns()
        if late_ns > now_ns:
            return True
        oldest = spool.waiting(Path(self._config.spool))[:1]
        return any(late_ns > spool.place_ns(path) for path in oldest)


def possible(identity: str) -> bool:
    """Say whether an id may be looked up; Postgres takes no text with a NUL."""
    return identity.isascii() and 0 < len(identity) <= _MAX_ID and "\0" not in identity


def unknown() -> Refused:
    """Return what is told of an id that nobody knows."""
    return Refused(404, "unknown_prediction", "no prediction has this id", field="prediction_id",
                   remedy="send an id that an answer named; old ones are pruned")  # fmt: skip


def _not_logged(identity: str, why: str) -> Refused:
    return Refused(404, "not_logged", f"prediction {identity} is not in the log, and will not be",
                   field="prediction_id", remedy=f"leave it out: {why}")  # fmt: skip


def _away() -> Refused:
    return Refused(503, "database_away", "the prediction log does not answer", retry_s=5,
                   remedy="try again later")  # fmt: skip
