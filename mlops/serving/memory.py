"""How a worker handles memory: it lives for weeks, and does the same small things all the time."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_MALLOC = {-1: 128 << 10, -3: 128 << 10, -8: 1}
"""mallopt(3): M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, fixed where they start; M_ARENA_MAX."""


def give_back() -> None:
    """Have the C library give freed memory back; to be called before the first thread.

    By default glibc raises the size from which blocks have pages of their own whenever such a block
    is freed, and lets each thread have a heap; what was freed below something that lives is kept. A
    worker grew by 7 MB in an hour so, with as many objects as before. Other C libraries do not ask.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _MALLOC.items():
            mallopt(option, value)


def keep_loaded() -> None:
    """Never look for garbage again at what is loaded by now."""
    gc.collect()
    gc.freeze()
