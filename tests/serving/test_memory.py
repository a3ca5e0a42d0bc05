"""What the C library does with memory that a worker has freed."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
from mlops.serving.memory import give_back

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
if sys.argv[1] == "true":
    give_back()
libc.free(libc.malloc(8 << 20))
before = libc.mallinfo2().hblks
blocks = [libc.malloc(1 << 20) for _ in range(10)]
print(libc.mallinfo2().hblks - before)
"""


@pytest.mark.parametrize(("asked", "own_pages"), [("true", 10), ("false", 0)])
def test_large_blocks_keep_pages_of_their_own(asked: str, own_pages: int) -> None:
    """So that they are given back when they are freed; by default one freed block changes that."""
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library is not glibc 2.33 or newer")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, asked], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == own_pages
