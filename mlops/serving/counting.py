"""What was answered, counted in one turn of the event loop and written in the next.

Writing one number of a metric locks it and packs it into a mapped file. Under load many requests
end in one turn: their numbers are added up first. A worker that is killed loses one turn's.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from mlops.serving import metrics

if TYPE_CHECKING:
    from prometheus_client import Counter


class Counting:
    """The counts of one worker's requests; used on its event loop only."""

    def __init__(self) -> None:
        self._spent_s: dict[tuple[str, int], list[float]] = {}
        self._rows = 0
        self._inside = 0
        self._due = False

    def began(self) -> None:
        """Count a request that is in progress from now on."""
        self._inside += 1
        self._soon()

    def ended(self) -> None:
        """Count it as in progress no longer."""
        self._inside -= 1
        self._soon()

    def answered(self, route: str, status: int, spent_s: float) -> None:
        """Count an answer, and how many seconds it took."""
        self._spent_s.setdefault((route, status), []).append(spent_s)
        self._soon()

    def predicted(self, rows: int) -> None:
        """Count rows that a model has answered."""
        self._rows += rows
        self._soon()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._due = False
        metrics.IN_PROGRESS.set(self._inside)
        if self._rows:
            metrics.PREDICTIONS.inc(self._rows)
            self._rows = 0
        spent_s, self._spent_s = self._spent_s, {}
        for (route, status), seconds in spent_s.items():
            _count(route, status).inc(len(seconds))
            _seconds(route).observe_all(seconds)


@cache
def _count(route: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(route, str(status))


@cache
def _seconds(route: str) -> metrics.Summed:
    return metrics.SECONDS.labels(route)
