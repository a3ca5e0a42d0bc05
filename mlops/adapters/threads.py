"""How many threads a library's loops may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def one_thread(of: Literal["openmp", "blas"] = "openmp") -> AbstractContextManager[object]:
    """Hold a library to one thread: several wait for each other without end on a busy machine."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1, of)
    return limits
