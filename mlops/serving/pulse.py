"""The last five minutes in numbers: rate and latency per second, of all workers together.

Every worker keeps a ring of seconds in a small mapped file of its own, so that adding requests
costs a few memory writes and whichever worker is asked for the page can add the rings up.
"""

from __future__ import annotations

import mmap
import os
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SECONDS = 300
_EDGES_S = tuple(0.0005 * 2 ** (n / 2) for n in range(28))
"""Upper edges of the latency bins: 0.5 ms to 5.8 s, each √2 wider than the one before."""
_BINS = len(_EDGES_S) + 1
_PLACE = partial(bisect_left, _EDGES_S)
_WIDTH = 2 + _BINS  # which second, errors, and the bins
_BYTES = 8 * SECONDS * _WIDTH


class Pulse:
    """One worker's ring; add on the event loop only."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        _bury(folder)
        try:
            ring: mmap.mmap | bytearray = _mapped(folder / f"{os.getpid()}")
        except OSError as error:
            structlog.get_logger().warning("the page lacks this worker's requests", why=str(error))
            ring = bytearray(_BYTES)
        self._cells = memoryview(ring).cast("d")

    def add(self, latencies_s: Sequence[float], status: int) -> None:
        """Count requests that were answered with one status."""
        cells, second = self._cells, int(time.time())
        at = second % SECONDS * _WIDTH
        if cells[at] != second:
            cells[at : at + _WIDTH] = _EMPTY
            cells[at] = second
        if status >= 500:
            cells[at + 1] += len(latencies_s)
        for place, count in Counter(map(_PLACE, latencies_s)).items():
            cells[at + 2 + place] += count

    def read(self) -> Beat:
        """Add up the rings of all workers that were alive of late."""
        now = int(time.time())
        seconds = np.arange(now - SECONDS, now)
        total = np.zeros((SECONDS, _WIDTH - 1))
        for path in self._folder.iterdir():
            ring = np.fromfile(path, dtype=np.float64)
            if len(ring) != SECONDS * _WIDTH:
                continue
            ring = ring.reshape(SECONDS, _WIDTH)[seconds % SECONDS]
            fresh = ring[:, 0] == seconds
            total[fresh] += ring[fresh, 1:]
        return Beat(total[:, 1:].sum(axis=1), total[:, 0], total[:, 1:])


def _mapped(path: Path) -> mmap.mmap:
    """Return a ring whose every block is on the disk: a missing one would end the process later."""
    try:
        path.write_bytes(bytes(_BYTES))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    with path.open("rb+") as file:
        return mmap.mmap(file.fileno(), _BYTES)


def _bury(folder: Path) -> None:
    """Remove the rings of workers that are gone."""
    for path in folder.iterdir():
        try:
            os.kill(int(path.name), 0)
        except (ValueError, ProcessLookupError):
            path.unlink(missing_ok=True)
        except PermissionError:
            continue


_EMPTY = memoryview(bytearray(8 * _WIDTH)).cast("d")


@dataclass(frozen=True, slots=True)
class Beat:
    """The last seconds, the oldest first; the running one is left out.

    Attributes:
        requests: per second.
        errors: answers of 500 and above, per second.
        bins: (seconds, bins): requests by latency.
    """

    requests: NDArray[np.float64]
    errors: NDArray[np.float64]
    bins: NDArray[np.float64]

    def quantile_ms(self, share: float, first: int = 0) -> float | None:
        """Return the latency below which a share of the requests since `first` lies, by its bin."""
        counts = self.bins[first:].sum(axis=0)
        if not counts.sum():
            return None
        place = int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
        return 1000.0 * _EDGES_S[min(place, len(_EDGES_S) - 1)]
