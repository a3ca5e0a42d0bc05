"""A copy that was damaged while it is in service: found when a worker cannot load it, made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.serving.tallies import read_counts, total

if TYPE_CHECKING:
    from mlops.serving.follower import Follower

_FAILURES = "mlops_model_load_failures_total"


class Damage:
    """A duty of the follower, the last: those before it want to see what is in service.

    A worker keeps the model that it has. One that is started later loads the copy, and would fail
    for ever: a poll fetches only the champion, and only if that is not in service.

    Args:
        follower: whose copy is looked at; it fetches what is in service again.
    """

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._seen = total(read_counts(), _FAILURES)

    def keep(self, now_s: float) -> None:
        """Verify the copy once more, if a worker could not load something since the last look.

        Raises:
            Unavailable: if what is damaged cannot be fetched now.
        """
        failures = total(read_counts(), _FAILURES)
        if failures > self._seen:
            self._follower.cached()
        self._seen = failures
        self._follower.mend(now_s)
