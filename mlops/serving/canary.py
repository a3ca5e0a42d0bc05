"""The canary, on the follower's side: taken up, watched by a sequential test, ended when worse.

Two questions are asked at every poll: does the challenger fail more often, is it slow more often?
Each may be answered wrongly with half of `MLOPS_CANARY_ALPHA` over the canary's whole life, however
often it is asked (see `mlops.core.sequential`). *Slow* is told from races on the same rows (see
`mlops.serving.race`), not from the queue, which both share. What was rolled back stays so until
somebody asks again; an incident says why.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import structlog

from mlops.adapters import files
from mlops.core.sequential import compare
from mlops.core.share import write_share
from mlops.errors import DataError, RegistryError
from mlops.serving import metrics
from mlops.serving.follower import first_line
from mlops.serving.pointer import drop_pointer, read_pointer, write_pointer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops.adapters.canary import Wish
    from mlops.serving.notices import Notices
    from mlops.serving.pointer import Pointer
    from mlops.serving.tallies import Sides
    from mlops.site import Site

_ALARM = "canary"


class Wishes(Protocol):
    """Where canaries are asked for; `mlops.adapters.canary` is one."""

    def wish(self, site: Site, project: str, /) -> Wish | None:
        """Return what is asked for."""

    def answer(self, site: Site, project: str, version: str, text: str, /) -> None:
        """Write what became of it."""


@dataclass(frozen=True)
class State:
    """A canary as `mlops status` shows it, and as it survives a restart.

    Attributes:
        version: the challenger.
        share: of the keys.
        state: running, ended by a person, or rolled back by the test.
        since_s: since when, seconds since 1970.
        reason: why it was rolled back; empty otherwise.
        told: whether the registry knows of the end.
        noted: whether its incident is written.
        requests: of champion and challenger.
        failed: likewise.
        slow: likewise, of the races.
        races: on the same rows.
    """

    version: str
    share: float
    state: Literal["running", "off", "rolled back"]
    since_s: float
    reason: str = ""
    told: bool = True
    requests: tuple[int, int] = (0, 0)
    failed: tuple[int, int] = (0, 0)
    slow: tuple[int, int] = (0, 0)
    races: int = 0
    noted: bool = True


class Canary:
    """A duty of the follower.

    Args:
        site: where.
        project: registered-model name.
        wishes: where canaries are asked for.
        prepare: fetches and verifies a version, as for the champion.
        notices: where a rollback is told.
        read: what the workers have counted.
    """

    def __init__(
        self,
        site: Site,
        project: str,
        wishes: Wishes,
        *,
        prepare: Callable[[str, float], Pointer],
        notices: Notices,
        read: Callable[[], Sides],
    ) -> None:
        self._site, self._project, self._wishes = site, project, wishes
        self._prepare, self._notices, self._read = prepare, notices, read
        settings = site.settings
        self._level = settings.canary_alpha / 2.0  # two questions share it
        self._margins = settings.canary_error_margin, settings.canary_slow_margin
        self._home: Path = site.layout.serving / project
        self._state = read_state(self._home)
        self._before: Sides | None = None  # counts at the start

    def keep(self, now_s: float) -> None:
        """Judge what runs, also while the registry is away; then do what is asked for.

        Raises:
            Unavailable: if the registry does not answer; what runs goes on, and is watched.
            RegistryError: if it does not let a rollback be told; none is started meanwhile.
        """
        state = self._state
        if state and state.state == "running" and read_pointer(self._home, "challenger"):
            self._judge(state, now_s)
        elif state and state.state == "rolled back":  # killed before it was taken out
            drop_pointer(self._home, "challenger")
        self._note()
        untold = self._tell()
        asked = self._wishes.wish(self._site, self._project)
        if untold is not None and self._state is not None:
            if asked is not None and asked.version == self._state.version:
                raise untold  # its tag still asks for what was rolled back
            self._save(replace(self._state, told=True))  # it was deleted: nobody is to be told
        champion = read_pointer(self._home)
        promoted = asked and champion and champion.version == asked.version
        if asked is None or asked.share <= 0.0 or promoted:
            self._stop(now_s)
        elif champion is not None:  # where its pointer is lost, what runs goes on
            self._run(asked.version, asked.share, now_s)
        running = self._state is not None and self._state.state == "running"
        metrics.CANARY_SHARE.set(self._state.share if running and self._state else 0.0)

    def _stop(self, now_s: float) -> None:
        if self._state is not None and self._state.state == "running":
            self._save(replace(self._state, state="off", since_s=now_s))
            drop_pointer(self._home, "challenger")
            self._notices.close(f"canary of version {self._state.version}", _ALARM)

    def _run(self, version: str, share: float, now_s: float) -> None:
        if self._state is not None and not self._state.noted:
            return  # what was rolled back last has its incident first
        held, state = read_pointer(self._home, "challenger"), self._state
        running = state is not None and state.state == "running" and state.version == version
        if state and running and held and (held.version, held.weight) == (version, share):
            return
        fresh = State(version, share, "running", now_s)
        try:
            pointer = self._prepare(version, now_s)
        except RegistryError as error:
            self._end(fresh, f"refused: {first_line(error)}", now_s)
            return
        self._notices.close(f"canary of version {version}", _ALARM)
        write_pointer(self._home, replace(pointer, weight=share), "challenger")
        self._save(replace(state, share=share) if state and running else fresh)
        if not running:
            self._before = self._read()
        structlog.get_logger().info("canary", version=version, share=write_share(share))

    def _judge(self, state: State, now_s: float) -> None:
        seen = self._read()
        if self._before is None:  # the follower was started again: evidence begins anew
            self._before = seen
        champion, challenger = (seen[arm].since(self._before[arm]) for arm in _ARMS)
        failed = (champion.failures(), challenger.failures())
        slow = (champion.slowness(), challenger.slowness())
        why = ""
        if compare(*failed, alpha=self._level, margin=self._margins[0]).worse:
            why = f"fails {failed[1].rate:.1%} of its requests, the champion {failed[0].rate:.1%}"
        elif compare(*slow, alpha=self._level, margin=self._margins[1]).worse:
            why = (
                f"takes over twice the champion's time at {slow[1].rate:.1%} of {slow[1].n} looks "
                f"at the same rows, the champion over twice its time at {slow[0].rate:.1%}"
            )
        fresh = replace(
            state, requests=(champion.n, challenger.n), races=challenger.races,
            failed=(failed[0].bad, failed[1].bad), slow=(slow[0].bad, slow[1].bad),
        )  # fmt: skip
        if why:
            self._end(fresh, why, now_s)
        elif fresh != self._state:
            self._save(fresh)

    def _end(self, state: State, why: str, now_s: float) -> None:
        """Roll back: first the record, so that no start undoes it, and the pointer in any case.

        The registry hears of it when it can.
        """
        metrics.CANARY_ROLLBACKS.inc()
        ended = replace(state, state="rolled back", since_s=now_s, reason=why)
        try:
            self._save(replace(ended, told=False, noted=False))
        finally:
            drop_pointer(self._home, "challenger")
        self._notices.forget(f"canary of version {state.version}")
        self._note()
        self._tell()

    def _note(self) -> None:
        """Have a rollback's incident written, again where a kill came before that."""
        state = self._state
        if state is None or state.noted:
            return
        cause = f"canary of version {state.version}"
        self._notices.open(cause, state.version, f"{cause} rolled back: it {state.reason}", _ALARM)
        if self._notices.is_written(cause):
            self._save(replace(state, noted=True))

    def _tell(self) -> RegistryError | None:
        """Tell the registry of a rollback that it does not know of; return why it was refused."""
        state = self._state
        if state is None or state.told:
            return None
        text = f"rolled back: {state.reason}"
        try:
            self._wishes.answer(self._site, self._project, state.version, text)
        except RegistryError as error:
            return error
        self._save(replace(state, told=True))
        return None

    def _save(self, state: State) -> None:
        self._state = state
        files.write_json(self._home / _FILE, asdict(state))


_ARMS: tuple[Literal["champion", "challenger"], ...] = ("champion", "challenger")
_FILE = "canary.json"


def read_state(home: Path) -> State | None:
    """Return the canary of a server, running or ended; None if there never was one."""
    try:
        content: dict[str, Any] = files.read_json(home / _FILE)
        lists = {name: tuple(content[name]) for name in ("requests", "failed", "slow")}
        known = {name: content[name] for name in State.__dataclass_fields__ if name in content}
        return State(**{**known, **lists})
    except (DataError, KeyError, TypeError):
        return None
