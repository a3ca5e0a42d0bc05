"""Threads that give way to those that serve."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_NICE = 10


def give_way() -> None:
    """Lower the priority of the thread that calls."""
    if sys.platform == "linux":  # there a thread has a priority of its own
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
