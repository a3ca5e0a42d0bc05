"""Serving incidents on their way to the database: kept while it is away, then written.

Whoever finds something says so in the follower's own thread, and never waits; another one writes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from mlops.adapters.serving_incidents import (
    open_alarm,
    open_refusal,
    resolve_alarm,
    resolve_refusals,
)
from mlops.adapters.sql.engine import database
from mlops.serving import metrics

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.site import Site


class _Write(Protocol):
    def __call__(self, engine: sa.Engine, /, *, at_s: float) -> Any:
        """Write one incident down."""


class Notices:
    """Raises and clears alarms; as a duty of the follower it writes them down.

    Args:
        site: where the incidents are kept.
        project: registered-model name.
    """

    def __init__(self, site: Site, project: str) -> None:
        self._site, self._project = site, project
        self._raised: dict[str, bool] = {}
        self._settled: str | None = None
        self._queue: list[tuple[str, _Write]] = []

    def open(self, cause: str, version: str, reason: str, alarm: str) -> None:
        """Raise an alarm; while it stands, raising it again changes nothing.

        Args:
            cause: what the incident is known by.
            version: the model version that it is about.
            reason: in words.
            alarm: its name in the metrics, one of few.
        """
        metrics.ALARM.labels(alarm).set(1.0)
        if self._raised.get(cause):
            return
        self._raised[cause] = True
        write = partial(
            open_alarm, project=self._project, cause=cause, version=version, reason=reason
        )
        self._queue.append((cause, write))
        structlog.get_logger().error("serving alarm", cause=cause, why=reason)

    def close(self, cause: str, alarm: str) -> None:
        """Clear an alarm, also one that an earlier process raised."""
        metrics.ALARM.labels(alarm).set(0.0)
        if self._raised.get(cause, True):
            self._raised[cause] = False
            write = partial(resolve_alarm, project=self._project, cause=cause)
            self._queue.append((cause, write))

    def refuse(self, version: str, reason: str) -> None:
        """Tell of a champion that must not be served."""
        self._settled = None  # there is something to resolve again
        write = partial(open_refusal, project=self._project, version=version, reason=reason)
        self._queue.append(("", write))

    def settle(self, champion: str) -> None:
        """Tell that the champion is in service: every refusal before is resolved."""
        if champion != self._settled:
            self._settled = champion
            self._queue.append(("", partial(resolve_refusals, project=self._project)))

    def forget(self, cause: str) -> None:
        """Let the next alarm of a cause be a new one, though nobody cleared the last."""
        self._raised.pop(cause, None)

    def is_written(self, cause: str) -> bool:
        """Say whether nothing of an alarm waits to be written."""
        return all(waiting != cause for waiting, _ in tuple(self._queue))

    def keep(self, now_s: float) -> None:
        """Write down what is not written yet.

        Raises:
            Unavailable: if the database does not answer; everything is kept.
        """
        if not self._queue:
            return
        with database(self._site) as engine:
            while self._queue:
                _, write = self._queue[0]
                write(engine, at_s=now_s)
                self._queue.pop(0)
