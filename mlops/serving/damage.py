"""Copies damaged while they are in use: found when a worker cannot load one, made anew."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from mlops.adapters import seal
from mlops.errors import RegistryError
from mlops.serving.pointer import read_pointer, write_pointer
from mlops.serving.tallies import read_counts, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.serving.follower import Follower
    from mlops.serving.pointer import Pointer, Role

_FAILURES = "mlops_model_load_failures_total"
_AGAIN_S = 60.0


class _Failures:
    """How often workers could not load something."""

    def __init__(self) -> None:
        self._seen = total(read_counts(), _FAILURES)

    def grew(self) -> bool:
        """Say whether it happened again since the last look."""
        before, self._seen = self._seen, total(read_counts(), _FAILURES)
        return self._seen > before


class Damage:
    """A duty of the follower, the last: those before it want to see what is in service.

    A worker keeps the model that it has. One that is started later loads the copy, and would fail
    for ever: a poll fetches only the champion, and only if that is not in service.

    Args:
        follower: whose copy is looked at; it fetches what is in service again.
    """

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._failures = _Failures()

    def keep(self, now_s: float) -> None:
        """Verify the copy once more, if a worker could not load something since the last look.

        Raises:
            Unavailable: if what is damaged cannot be fetched now.
        """
        if self._failures.grew():
            self._follower.cached()
        self._follower.mend(now_s)


class DamageBeside:
    """A duty of the follower: the same for the copies of challenger and shadow.

    Args:
        home: where their pointers are.
        prepare: fetches and verifies a version, as for the champion.
    """

    def __init__(self, home: Path, prepare: Callable[[str, float], Pointer]) -> None:
        self._home, self._prepare = home, prepare
        self._failures = _Failures()
        self._tried_s: dict[tuple[Role, str], float] = {}

    def keep(self, now_s: float) -> None:
        """Verify the copies once more, if a worker could not load something since the last look.

        Workers try again by themselves, so what could not be fetched is looked at again, too: a
        minute later.

        Raises:
            Unavailable: if what is damaged cannot be fetched now.
        """
        if not self._failures.grew():
            return
        try:
            self._mend("challenger", now_s)
        finally:
            self._mend("shadow", now_s)

    def _mend(self, role: Role, now_s: float) -> None:
        held = read_pointer(self._home, role)
        if held is None or seal.is_verified(Path(held.folder), held.digest):
            return
        tried_s = self._tried_s.get((role, held.version), -math.inf)
        if abs(now_s - tried_s) < _AGAIN_S:  # the distance: a clock may jump back
            return
        self._tried_s[role, held.version] = now_s
        structlog.get_logger().error("its copy is damaged", role=role, version=held.version)
        try:
            fetched = self._prepare(held.version, now_s)
        except RegistryError as error:
            structlog.get_logger().error("it stays out", role=role, why=str(error))
            return
        whole = replace(fetched, since_s=held.since_s, weight=held.weight)  # it never left
        write_pointer(self._home, whole, role)
