"""Duties that need the database, each in a thread of its own.

It may be silent for as long as it likes, or at a long statement: what is served follows the
registry meanwhile, canaries are judged and alarms are raised.
"""

from __future__ import annotations

import threading
from typing import Generic, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from mlops.errors import MlopsError
from mlops.serving.follower import first_line

_T_contra = TypeVar("_T_contra", contravariant=True)


class Keeps(Protocol[_T_contra]):
    """What is looked after again and again."""

    def keep(self, told: _T_contra, /) -> None:
        """Look once."""


class Aside(Generic[_T_contra]):
    """Stands where a duty would stand, and never keeps its caller waiting.

    Args:
        duty: what is to be done.
    """

    def __init__(self, duty: Keeps[_T_contra]) -> None:
        self._duty = duty
        self._at_it: threading.Thread | None = None

    def keep(self, told: _T_contra, /) -> None:
        """Have the duty done, unless it is still at it."""
        if self._at_it is None or not self._at_it.is_alive():
            self._at_it = threading.Thread(target=attempt, args=(self._duty, told), daemon=True)
            self._at_it.start()

    def close(self, timeout_s: float) -> None:
        """Let it end what it is at: an alias on its way, the last incident."""
        if self._at_it is not None:
            self._at_it.join(timeout_s)


def attempt(duty: Keeps[_T_contra], told: _T_contra) -> None:
    """Do one duty; what is in its way is logged, and it is tried again at the next poll."""
    try:
        duty.keep(told)
    except (MlopsError, OSError, sa.exc.SQLAlchemyError) as error:
        name = type(duty).__name__.lower()
        structlog.get_logger().warning("not done", duty=name, why=first_line(error))
