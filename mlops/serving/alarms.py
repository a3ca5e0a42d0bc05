"""What the workers count and nobody may overlook: lost rows, and versions that they cannot load."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import files
from mlops.errors import DataError
from mlops.serving.tallies import read_counts, total

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops.serving.notices import Notices

_FILE = "metrics/alarms.json"  # counts begin anew with a server, and so does this
CLEAR_AFTER_S = 600.0
"""An alarm is cleared when its count has not grown for so long."""


@dataclass(frozen=True)
class Watched:
    """A counter that must not grow.

    Attributes:
        counter: its name.
        alarm: the alarm's name in the metrics.
        cause: the incident's.
        reason: in words, with the count.
    """

    counter: str
    alarm: str
    cause: str
    reason: str


WATCHED = (
    Watched(
        "mlops_log_dropped_rows_total", "dropped", "predictions lost",
        "{n:.0f} rows of the prediction log were dropped; look at the database, the disk and "
        "MLOPS_SPOOL_MB",
    ),
    Watched(
        "mlops_spool_errors_total", "disk", "spool not written",
        "the disk refused the prediction log {n:.0f} times; its rows wait in memory",
    ),
    Watched(
        "mlops_spool_damaged_segments_total", "damaged", "spool damaged",
        "{n:.0f} spool segments could not be read; they lie in .mlops/spool/damaged",
    ),
    Watched(
        "mlops_model_load_failures_total", "load", "version not loaded",
        "workers failed {n:.0f} times to load what the follower had verified; what ran still runs",
    ),
)  # fmt: skip


class Alarms:
    """A duty of the follower.

    Args:
        home: `.mlops/serving/NAME`; its pointer names the version that an alarm is about.
        notices: where alarms are told.
        clock: seconds that only grow.
    """

    def __init__(
        self, home: Path, notices: Notices, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._home, self._notices, self._clock = home, notices, clock
        self._told = _told(home)
        self._last = dict(self._told)
        self._grew_s = {name: clock() for name, n in self._last.items() if n}

    def keep(self, _now_s: float) -> None:
        """Look once."""
        from mlops.serving.pointer import read_pointer

        self._remember()
        counts, now_s = read_counts(), self._clock()
        for watched in WATCHED:
            n = total(counts, watched.counter)
            if n < self._last.get(watched.counter, 0.0):  # the server counts anew
                self._last[watched.counter] = 0.0
            if n > self._last.get(watched.counter, 0.0):
                self._grew_s[watched.counter] = now_s
                pointer = read_pointer(self._home)
                reason = watched.reason.format(n=n)
                version = pointer.version if pointer else ""
                self._notices.open(watched.cause, version, reason, watched.alarm)
            elif now_s - self._grew_s.get(watched.counter, -CLEAR_AFTER_S) >= CLEAR_AFTER_S:
                self._notices.close(watched.cause, watched.alarm)
            self._last[watched.counter] = n

    def _remember(self) -> None:
        """Keep what was told, once its incident is written: a kill before that tells it again."""
        written = {w.counter for w in WATCHED if self._notices.is_written(w.cause)}
        told = {**self._told, **{name: n for name, n in self._last.items() if name in written}}
        if told != self._told:
            self._told = told
            path = self._home / _FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(path, told)


def _told(home: Path) -> dict[str, float]:
    """Return what an earlier process of this server has told of: it is no news to the next."""
    try:
        return {name: float(str(n)) for name, n in files.read_json(home / _FILE).items()}
    except (DataError, AttributeError, TypeError, ValueError):
        return {}
