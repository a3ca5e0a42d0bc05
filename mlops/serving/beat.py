"""Signs of life: a file per worker, touched several times a second; in it, whether it has a model.

The supervisor ends who is silent, and takes the file of who is dead away. Workers read each other's
before they listen: whoever has no model leaves the requests to those that have one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_READY = b"ready"


class Beat:
    """One worker's sign of life; without a supervisor's folder it gives and finds none.

    Args:
        home: of the server.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "alive"
        self._own = self._folder / str(os.getpid())
        self._said = False

    def give(self, *, ready: bool) -> None:
        """Show that this worker lives, and from when on it has a model; it keeps that one."""
        if not self._folder.is_dir():
            return
        self._own.touch()
        if ready and not self._said:
            self._own.write_bytes(_READY)
            self._said = True

    def another_is_ready(self) -> bool:
        """Say whether another worker has a model."""
        if not self._folder.is_dir():
            return False
        return any(_says_so(path) for path in self._folder.iterdir() if path != self._own)


def _says_so(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # it has died in this moment
        return False
