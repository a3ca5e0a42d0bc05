"""Serving incidents on their way to the database: kept while it is away, then written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mlops.serving import metrics

if TYPE_CHECKING:
    from mlops.site import Site


@dataclass(frozen=True)
class _Notice:
    cause: str
    version: str
    reason: str | None


class Notices:
    """Raises and clears alarms; a duty of the follower, which writes them down at its polls.

    Args:
        site: where the incidents are kept.
        project: registered-model name.
    """

    def __init__(self, site: Site, project: str) -> None:
        self._site, self._project = site, project
        self._raised: dict[str, bool] = {}
        self._queue: list[_Notice] = []

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
        self._queue.append(_Notice(cause, version, reason))
        structlog.get_logger().error("serving alarm", cause=cause, why=reason)

    def close(self, cause: str, alarm: str) -> None:
        """Clear an alarm, also one that an earlier process raised."""
        metrics.ALARM.labels(alarm).set(0.0)
        if self._raised.get(cause, True):
            self._raised[cause] = False
            self._queue.append(_Notice(cause, "", None))

    def forget(self, cause: str) -> None:
        """Let the next alarm of a cause be a new one, though nobody cleared the last."""
        self._raised.pop(cause, None)

    def is_written(self, cause: str) -> bool:
        """Say whether nothing of an alarm waits to be written."""
        return all(note.cause != cause for note in self._queue)

    def keep(self, now_s: float) -> None:
        """Write down what is not written yet.

        Raises:
            Unavailable: if the database does not answer; everything is kept.
        """
        if not self._queue:
            return
        from mlops.adapters.serving_incidents import open_alarm, resolve_alarm
        from mlops.adapters.sql.engine import database

        with database(self._site) as engine:
            while self._queue:
                note = self._queue[0]
                if note.reason is None:
                    resolve_alarm(engine, self._project, note.cause, at_s=now_s)
                else:
                    open_alarm(
                        engine, self._project, note.cause, note.version, note.reason, at_s=now_s
                    )
                self._queue.pop(0)
