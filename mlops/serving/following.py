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
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa
import structlog

from mlops.errors import EXIT_ERROR, MlopsError
from mlops.serving import metrics
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
    try:
        return _follow(follower, poll_s, bell, duties, cached=cached)
    finally:
        hung.cancel()


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
            _keep(duty)
        follower.tell_staleness()
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


def _keep(duty: Duty) -> None:
    """Do one duty; what is in its way is logged, and it is tried again at the next poll."""
    try:
        duty.keep(time.time())
    except (MlopsError, OSError, sa.exc.SQLAlchemyError) as error:
        name = type(duty).__name__.lower()
        structlog.get_logger().warning("not done", duty=name, why=first_line(error))


def _give_up(follower: Follower, cached: bool) -> None:  # noqa: FBT001 - called by a timer
    """End a start that hangs in a call: a name that resolves to nothing may take minutes."""
    if cached or follower.reached:
        return
    within = f"within {START_S:.0f} s; no cached version to serve"
    _last_word(f"no answer from the registry or the database {within}")
    os._exit(EXIT_NO_MODEL)


def _last_word(why: str) -> None:
    say(f"error: {why}", sys.stderr)


def duties(site: Site, project: str, registry: Registry, wishes: Wishes) -> tuple[Duty, ...]:
    """Return what the follower looks after beside the champion; notices come last."""
    from mlops.serving.alarms import Alarms
    from mlops.serving.budget import Budget
    from mlops.serving.canary import Canary
    from mlops.serving.damage import DamageBeside
    from mlops.serving.follow_shadow import FollowShadow
    from mlops.serving.notices import Notices
    from mlops.serving.retention import Retention
    from mlops.serving.tallies import read_sides

    notices = Notices(site, project)
    get = partial(prepare, registry, site, project)
    return (
        FollowShadow(site, project, registry, prepare=get, notices=notices),
        Canary(site, project, wishes, prepare=get, notices=notices, read=read_sides),
        DamageBeside(site.layout.serving / project, get),
        Alarms(site.layout.serving / project, notices),
        Retention(site, project),
        Budget(site, project),
        notices,
    )


def main() -> int:
    """Follow the aliases of the project in which this process was started."""
    from datetime import UTC, datetime

    from mlops.adapters import canary, registry
    from mlops.layout import Layout, find_root
    from mlops.log import configure, quieten
    from mlops.params.name import project_name
    from mlops.serving.agreement import Agreement
    from mlops.serving.damage import Damage
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
    follower = Follower(site, project, registry, Agreement(site, project))
    every = (*duties(site, project, registry, canary), Damage(follower))
    try:
        return follow(follower, settings.poll_s, bell, every)
    except MlopsError as error:
        say(f"error: {error}", sys.stderr)
        return EXIT_ERROR
    finally:
        writer.close()


if __name__ == "__main__":
    sys.exit(main())
