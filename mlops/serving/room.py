"""The bound on the spool: how many bytes wait on disk, and whether more may."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from mlops.serving import spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK_S = 1.0
_LOOKING = 20.0  # looking may take a twentieth of the time: a full spool has many files


class SpoolFull(OSError):
    """The spool has reached its bound; what is to be written is not."""


class Room:
    """What is left of the bound; every worker of a server watches the folder for itself.

    It looks at the folder once a second at most and counts its own writes in between, so with
    several workers the spool may exceed the bound by what the others write in that time.

    Args:
        folder: the spool.
        limit_bytes: of the segments that wait; 0 for no bound.
        clock: seconds that only grow.
    """

    def __init__(
        self, folder: Path, limit_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._limit, self._clock = folder, limit_bytes, clock
        self._used = 0
        self._look_at_s = clock()

    def need(self, size_bytes: int) -> None:
        """Make sure that there is room for one segment.

        Raises:
            SpoolFull: if there is none.
            OSError: if the folder cannot be looked at.
        """
        if not self._limit:
            return
        now_s = self._clock()
        if now_s >= self._look_at_s:
            self._used = spool.size_bytes(self._folder)
            spent_s = self._clock() - now_s
            self._look_at_s = now_s + max(_LOOK_S, _LOOKING * spent_s)
        if self._used + size_bytes > self._limit:
            msg = f"the spool holds {self._used} bytes of {self._limit}; see MLOPS_SPOOL_MB"
            raise SpoolFull(errno.ENOSPC, msg, str(self._folder))

    def took(self, size_bytes: int) -> None:
        """Count a segment that was written."""
        self._used += size_bytes
