"""The follower process: `python -m mlops.serving.following`, the only one that may be slow.

One per server. It polls the registry (at once on SIGHUP), keeps what workers watch in step with
it, and moves the prediction log from the spool to the database.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from mlops.errors import EXIT_ERROR, MlopsError
from mlops.serving import metrics
from mlops.serving.aside import Aside, attempt
from mlops.serving.child import parent
from mlops.serving.config import EXIT_NO_MODEL
from mlops.serving.follower import Follower, first_line, prepare
from mlops.serving.terminal import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.serving.canary import Wishes
    from mlops.serving.follower import Registry
    from mlops.site import Site

START_S = 20.0
"""How long the start waits for a registry without a cached version; with imports, below 30 s."""


_TELL_S = 1.0
_END_S = 1.0  # the supervisor waits 15 s, and the log may have taken ten of them


class Duty(Protocol):
    """What is looked after at every poll, beside the champion."""

    def keep(self, now_s: float, /) -> None:
        """Look once; `now_s` is seconds since 1970."""


class Bell:
    """Ends a pause early: a signal that asks for a poll, or for the end."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self.over = False

    def ring(self, *_: object) -> None:
        """Poll now."""
        self._rung.set()

    def end(self, *_: object) -> None:
        """Stop following."""
        self.over = True
        self._rung.set()

    def wait(self, seconds: float) -> None:
        """Pause until it rings, at most so long."""
        self._rung.wait(seconds)
        self._rung.clear()


def follow(follower: Follower, poll_s: float, bell: Bell, duties: Sequence[Duty] = ()) -> int:
    """Poll until told to stop; return the exit code.

    With no registry, no cached version and no worker that serves, it gives up after `START_S`
    seconds. A registry that answers "no champion yet" is waited for without end.
    """
    cached = follower.cached() or follower.remembered()
    hung = threading.Timer(START_S + 1.0, _give_up, (follower, cached))
    hung.daemon = True
    hung.start()
    over = threading.Event()
    threading.Thread(target=_tell_staleness, args=(follower, over), daemon=True).start()
    try:
        return _follow(follower, poll_s, bell, duties, cached=cached)
    finally:
        hung.cancel()
        over.set()


def _tell_staleness(follower: Follower, over: threading.Event) -> None:
    """Tell it however long a poll takes: one that hangs is what the metric is for."""
    while not over.wait(_TELL_S):
        follower.tell_staleness()


def _follow(
    follower: Follower, poll_s: float, bell: Bell, duties: Sequence[Duty], *, cached: bool
) -> int:
    supervisor = parent()
    give_up_s = time.monotonic() + START_S
    said = ""
    while not bell.over and os.getppid() == supervisor:
        said = _poll(follower, said, cached=cached)
        if said and not cached and not follower.reached and time.monotonic() > give_up_s:
            _last_word(f"{said}; no cached version to serve")
            return EXIT_NO_MODEL
        if follower.unfit:
            _last_word(follower.unfit)
            return EXIT_NO_MODEL
        for duty in duties:
            attempt(duty, time.time())
        bell.wait(poll_s)
    return 0


def _poll(follower: Follower, said: str, *, cached: bool) -> str:
    """Poll once; return what is in the way, if anything. It is logged when it changes."""
    try:
        follower.poll(time.time())
    except (MlopsError, OSError) as error:
        metrics.REGISTRY_ERRORS.inc()
        why = first_line(error)
        if why != said:
            structlog.get_logger().warning("registry is down", why=why, cached=cached)
        return why
    if said:
        structlog.get_logger().info("registry is back")
    return ""


def _give_up(follower: Follower, cached: bool) -> None:  # noqa: FBT001 - called by a timer
    """End a start that hangs in a call: a name that resolves to nothing may take minutes."""
    if cached or follower.reached:
        return
    within = f"within {START_S:.0f} s; no cached version to serve"
    _last_word(f"no answer from the registry or the database {within}")
    os._exit(EXIT_NO_MODEL)


def _last_word(why: str) -> None:
    say(f"error: {why}", sys.stderr)


def build(
    site: Site, project: str, registry: Registry, wishes: Wishes
) -> tuple[Follower, tuple[Duty, ...], tuple[Aside[Any], ...]]:
    """Return a follower, what it looks after beside the champion, and what of it runs aside.

    Whatever needs the database runs aside, but for the fetching of a version: the ledger vouches
    for it.
    """
    from mlops.serving.agreement import Agreement
    from mlops.serving.alarms import Alarms
    from mlops.serving.budget import Budget
    from mlops.serving.canary import Canary
    from mlops.serving.damage import Damage, DamageBeside
    from mlops.serving.follow_shadow import FollowShadow
    from mlops.serving.notices import Notices
    from mlops.serving.retention import OldFiles, OldRows
    from mlops.serving.tallies import read_sides

    notices, agreement = Notices(site, project), Aside(Agreement(site, project))
    follower = Follower(site, project, registry, notices, agreement)
    get = partial(prepare, registry, site, project)
    home = site.layout.serving / project
    aside = (Aside(OldRows(site, project)), Aside(Budget(site, project)), Aside(notices))
    duties = (
        FollowShadow(site, project, registry, prepare=get, notices=notices),
        Canary(site, project, wishes, prepare=get, notices=notices, read=read_sides),
        DamageBeside(home, get),
        Alarms(home, notices),
        OldFiles(site, project),
        *aside,
        Damage(follower),
    )
    return follower, duties, (agreement, *aside)


def main() -> int:
    """Follow the aliases of the project in which this process was started."""
    from datetime import UTC, datetime

    from mlops.adapters import canary, registry
    from mlops.layout import Layout, find_root
    from mlops.log import configure, quieten
    from mlops.params.name import project_name
    from mlops.serving.writer import Writer
    from mlops.settings import load_settings
    from mlops.site import Site

    bell = Bell()
    signal.signal(signal.SIGHUP, bell.ring)
    signal.signal(signal.SIGTERM, bell.end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quieten()
    layout = Layout(find_root())
    settings = load_settings(layout)
    configure(settings.log_level)
    site = Site(layout, settings, datetime.now(UTC), layout.work / "follower")
    project = project_name(layout.params)
    writer = Writer(layout.spool, project, settings.database(layout))
    writer.start()
    follower, duties, aside = build(site, project, registry, canary)
    try:
        return follow(follower, settings.poll_s, bell, duties)
    except MlopsError as error:
        say(f"error: {error}", sys.stderr)
        return EXIT_ERROR
    finally:
        writer.close()
        for one in aside:
            one.close(_END_S)


if __name__ == "__main__":
    sys.exit(main())
