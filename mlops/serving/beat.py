"""Signs of life: a file per worker, touched several times a second; its mode says: I have a model.

The supervisor ends who is silent, and takes the file of who is dead away. Workers read each other's
before they listen: whoever has no model leaves the requests to those that have one.

Neither time nor mode takes a block of the disk: who serves on a full one gives its signs.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WAITS, READY = 0o600, 0o700
"""Modes of a worker's file: without a model, and with one."""


class Beat:
    """One worker's sign of life; without a supervisor's folder it gives and finds none.

    Args:
        home: of the server.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "alive"
        self._own = self._folder / str(os.getpid())

    def give(self, *, ready: bool) -> None:
        """Show that this worker lives, and whether it has a model.

        Raises:
            OSError: if there is no file yet, and the disk refuses one.
        """
        if not self._folder.is_dir():
            return
        self._own.touch()
        self._own.chmod(READY if ready else WAITS)

    def another_is_ready(self) -> bool:
        """Say whether another worker has a model."""
        if not self._folder.is_dir():
            return False
        return any(_says_so(path) for path in self._folder.iterdir() if path != self._own)


def _says_so(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IXUSR)
    except FileNotFoundError:  # it has died in this moment
        return False
