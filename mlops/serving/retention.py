"""Retention: old rows of the log, unreadable segments and copies of versions no longer served."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from mlops.adapters import files
from mlops.adapters.pruning import prune
from mlops.serving.pointer import Role, read_pointer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.site import Site

_EVERY_S = 3600.0
_DAY_S = 86_400.0
_DAMAGED_DAYS = 30.0
_YOUNG_S = 3600.0  # a step may be at work on a copy that it has just fetched
_ROLES: tuple[Role, ...] = ("current", "challenger", "shadow")


class _Hours:
    """Says when it is time: at the start, then every hour.

    A server that is started anew before an hour is over deletes, too.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next_s = clock()

    def due(self) -> bool:
        if self._clock() < self._next_s:
            return False
        self._next_s = self._clock() + _EVERY_S
        return True


class _Hourly:
    """A duty of the follower, done at its start and every hour.

    Args:
        site: whose settings say what is kept.
        project: registered-model name.
        clock: seconds that only grow.
    """

    def __init__(
        self, site: Site, project: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._site, self._project, self._hours = site, project, _Hours(clock)

    def keep(self, now_s: float) -> None:
        """Delete what may go, if it is time to.

        Raises:
            Unavailable: if the database does not answer; it is tried again in an hour.
        """
        if self._hours.due():
            self.sweep(now_s)

    def sweep(self, now_s: float) -> None:
        """Delete what may go, now."""
        raise NotImplementedError


class OldRows(_Hourly):
    """Rows of the log older than `MLOPS_LOG_DAYS`."""

    def sweep(self, now_s: float) -> None:
        """Delete what may go, now."""
        days = self._site.settings.log_days
        if not days:
            return
        from mlops.adapters.sql.engine import database

        with database(self._site) as engine:
            gone = prune(engine, self._project, before_s=now_s - days * _DAY_S)
        if gone:
            structlog.get_logger().info("old predictions deleted", rows=gone, days=days)


class OldFiles(_Hourly):
    """Copies of versions, and unreadable segments."""

    def sweep(self, now_s: float) -> None:
        """Delete what may go, now; in the thread that fetches copies, so never one in its hands."""
        self._versions(now_s)
        self._segments(now_s)

    def _versions(self, now_s: float) -> None:
        """Keep what is pointed at and the newest few; a version that is needed again is fetched."""
        home = self._site.layout.serving / self._project
        if not home.is_dir():
            return
        used = {p.version for role in _ROLES if (p := read_pointer(home, role)) is not None}
        copies = [path for path in home.iterdir() if path.is_dir() and path.name.isdigit()]
        copies.sort(key=lambda path: int(path.name), reverse=True)
        for path in copies[self._site.settings.keep_versions :]:
            if path.name not in used and abs(now_s - path.stat().st_mtime) > _YOUNG_S:
                files.remove(path)
                structlog.get_logger().info("old copy deleted", version=path.name)

    def _segments(self, now_s: float) -> None:
        for path in (self._site.layout.spool / "damaged").glob("*"):
            if now_s - path.stat().st_mtime > _DAMAGED_DAYS * _DAY_S:
                path.unlink(missing_ok=True)
