"""What was answered, counted in one turn of the event loop and written in the next.

Writing one number of a metric locks it and packs it into a mapped file. Under load many requests
end in one turn: their numbers are added up first. A worker that is killed loses one turn's.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

from mlops.serving import metrics

if TYPE_CHECKING:
    from prometheus_client import Counter

    from mlops.serving.pulse import Pulse


class Counting:
    """The counts of one worker's requests; used on its event loop only.

    Args:
        pulse: takes the answers of the gated routes too.

    Attributes:
        rows: that a model has answered, of requests that are still to be counted as answered.
    """

    def __init__(self, pulse: Pulse) -> None:
        self.rows = 0
        self._pulse = pulse
        self._spent_s: defaultdict[tuple[str, int, bool], list[float]] = defaultdict(list)
        self._inside = 0
        self._due = False

    def began(self) -> None:
        """Count a request that is in progress from now on."""
        self._inside += 1
        if not self._due:
            self._soon()

    def gone(self) -> None:
        """Count it as in progress no longer, though nobody was answered."""
        self._inside -= 1
        if not self._due:
            self._soon()

    def answered(self, route: str, status: int, spent_s: float, *, gated: bool) -> None:
        """Count it as in progress no longer, its answer, and how many seconds that took."""
        self._inside -= 1
        self._spent_s[route, status, gated].append(spent_s)
        if not self._due:
            self._soon()

    def _soon(self) -> None:
        self._due = True
        asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._due = False
        metrics.IN_PROGRESS.set(self._inside)
        if self.rows:
            metrics.PREDICTIONS.inc(self.rows)
            self.rows = 0
        spent_s = self._spent_s.copy()
        self._spent_s.clear()
        for (route, status, gated), seconds in spent_s.items():
            _count(route, status).inc(len(seconds))
            _seconds(route).observe_all(seconds)
            if gated:
                self._pulse.add(seconds, status)


@cache
def _count(route: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(route, str(status))


@cache
def _seconds(route: str) -> metrics.Summed:
    return metrics.SECONDS.labels(route)
