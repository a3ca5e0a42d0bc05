"""When to ask again: back-off with jitter, what the server says, and one deadline over it all."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

BUSY = frozenset({429, 503})
"""Statuses of a server that has not begun the work: any call may be sent again."""
LOST = frozenset({502, 504})
"""Statuses of something in between: only what may happen twice is sent again."""


@dataclass(frozen=True)
class Retry:
    """How long and how patiently to ask.

    Attributes:
        deadline_s: seconds for one call in all, waiting included.
        first_s: the first wait is drawn from 0 to so many seconds; it doubles each time.
        longest_s: no drawn wait is longer; a server's own `Retry-After` may be.

    Raises:
        ValueError: if one of them is not above 0.
    """

    deadline_s: float = 30.0
    first_s: float = 0.1
    longest_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what would wait for ever, or never."""
        for name, value in vars(self).items():
            if not 0.0 < value < float("inf"):
                msg = f"{name} = {value!r}: must be a number of seconds above 0"
                raise ValueError(msg)


@dataclass
class Attempts:
    """The attempts of one call.

    Attributes:
        retry: how patient to be.
        rng: where jitter comes from. Full jitter (Brooker, "Exponential Backoff And Jitter",
            2015) spreads clients that were turned away together.
    """

    retry: Retry
    rng: random.Random = field(default_factory=random.Random)
    made: int = 0

    def __post_init__(self) -> None:
        """Start the clock."""
        self._end_s = time.monotonic() + self.retry.deadline_s

    def left_s(self) -> float:
        """Return the seconds that are left; 0 when the deadline has passed."""
        return max(0.0, self._end_s - time.monotonic())

    def wait_s(self, retry_after_s: float | None = None) -> float | None:
        """Return how long to wait before the next attempt, or None: there is no time for one.

        Args:
            retry_after_s: what the server asked for; never undercut.
        """
        drawn = self.rng.uniform(0.0, min(self.retry.longest_s, self.retry.first_s * 2**self.made))
        self.made += 1
        wait = drawn + (retry_after_s or 0.0)
        return wait if wait < self.left_s() else None


def retry_after_s(header: str | None) -> float | None:
    """Read `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3); None if it says nothing."""
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
