"""The follower: `python -m mlops.serving.follower`, one per server, the only one that may be slow.

It polls the registry's `champion`, fetches and verifies, replays golden requests, and moves the
pointer that the workers watch. What fails is refused: the old version keeps serving and an
incident says why. It also moves the prediction log from the spool to the database.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa
import structlog

from mlops.adapters import seal
from mlops.errors import EXIT_ERROR, MlopsError, RegistryError, Unavailable
from mlops.serving import metrics
from mlops.serving.config import EXIT_NO_MODEL
from mlops.serving.model import Model, Pointer, read_pointer, sealed, write_pointer

if TYPE_CHECKING:
    from mlops.site import Site

START_S = 30.0
_REFUSED_FOR_S = 60.0


class Registry(Protocol):
    """What the follower needs of a registry; `mlops.adapters.registry` is one."""

    def champion(self, site: Site, project: str, /) -> str | None:
        """Return the version that the alias names, or None."""

    def fetch(self, site: Site, project: str, version: str, /) -> Path:
        """Return a verified local copy of a version."""


class Keeper(Protocol):
    """Keeps aliases and ledger in agreement; `mlops.serving.agreement.Agreement` is one."""

    def keep(self, champion: str | None, /) -> None:
        """Look whether they agree, if it is time to."""


class Follower:
    """Brings the registry's champion into service."""

    def __init__(
        self, site: Site, project: str, registry: Registry, keeper: Keeper | None = None
    ) -> None:
        self._keeper = keeper
        self._site, self._project, self._registry = site, project, registry
        self._home = site.layout.serving / project
        self._refused: dict[str, float] = {}
        self._notes: list[tuple[str, str]] = []
        self._settled: str | None = None
        self.reached = False

    def poll(self, now_s: float) -> str | None:
        """Look once; return the version that is now in service, if any.

        Raises:
            Unavailable: if the registry does not answer; what is in service stays.
        """
        champion = self._ask()
        self.reached = True
        if self._keeper is not None:
            self._keeper.keep(champion)
        metrics.REGISTRY_SEEN.set(now_s)
        current = read_pointer(self._home)
        if champion is None:
            return current.version if current else None
        if current is None or current.version != champion:
            if self._refused.get(champion, 0.0) > now_s:
                return current.version if current else None
            if not self._bring(champion, now_s):
                return current.version if current else None
        self._record(now_s, settled=champion)
        return champion

    def cached(self) -> bool:
        """Say whether a verified copy can be served without the registry."""
        try:
            pointer = read_pointer(self._home)
            if pointer is None:
                return False
            seal.verify(Path(pointer.folder), pointer.digest)
        except MlopsError as error:
            structlog.get_logger().error("cached version is not served", why=str(error))
            (self._home / "current.json").unlink(missing_ok=True)
            return False
        return True

    def _ask(self) -> str | None:
        try:
            return self._registry.champion(self._site, self._project)
        except Unavailable:
            raise
        except Exception as error:
            msg = f"registry: {_first_line(error)}; check MLOPS_MLFLOW_URI"
            raise Unavailable(msg) from error

    def _bring(self, version: str, now_s: float) -> bool:
        try:
            folder = self._registry.fetch(self._site, self._project, version)
            digest = sealed(folder)
            Model(folder, version).replay(folder)
        except RegistryError as error:
            self._refuse(version, _first_line(error), now_s)
            return False
        except Unavailable:
            raise
        except Exception as error:
            msg = f"registry: version {version}: {_first_line(error)}; check MLOPS_MLFLOW_URI"
            raise Unavailable(msg) from error
        write_pointer(self._home, Pointer(version, str(folder), digest, now_s))
        self._refused.clear()
        structlog.get_logger().info("in service", version=version)
        return True

    def _refuse(self, version: str, reason: str, now_s: float) -> None:
        self._refused[version] = now_s + _REFUSED_FOR_S
        self._notes.append((version, reason))
        self._settled = None  # there is something to resolve again
        metrics.REFUSED_VERSIONS.inc()
        structlog.get_logger().error("version refused", version=version, why=reason)
        self._record(now_s)

    def _record(self, now_s: float, *, settled: str | None = None) -> None:
        """Write incidents; while the database is away they are kept and tried at the next poll."""
        if not self._notes and (settled is None or settled == self._settled):
            return
        from mlops.adapters.serving_incidents import open_refusal, resolve_refusals
        from mlops.adapters.sql.engine import database

        try:
            with database(self._site) as engine:
                while self._notes:
                    open_refusal(engine, self._project, *self._notes[0], at_s=now_s)
                    self._notes.pop(0)
                if settled is not None:
                    resolve_refusals(engine, self._project, at_s=now_s)
                    self._settled = settled
        except (Unavailable, sa.exc.SQLAlchemyError) as error:
            structlog.get_logger().warning("incident waits", why=_first_line(error))


def follow(follower: Follower, poll_s: float, stop: threading.Event) -> int:
    """Poll until told to stop; return the exit code.

    Without a registry and without a cached version it gives up after `START_S` seconds. A registry
    that answers "no champion yet" is waited for without end.
    """
    parent = os.getppid()
    cached = follower.cached()
    give_up_s = time.monotonic() + START_S
    down = False
    while not stop.is_set() and os.getppid() == parent:
        try:
            follower.poll(time.time())
            down = False
        except MlopsError as error:
            metrics.REGISTRY_ERRORS.inc()
            if not down:
                structlog.get_logger().warning("registry is down", why=str(error), cached=cached)
            down = True
            if not cached and not follower.reached and time.monotonic() > give_up_s:
                what = f"{error}; no cached version to serve"
                print(f"error: {what}", file=sys.stderr)  # noqa: T201 - the last word
                return EXIT_NO_MODEL
        stop.wait(poll_s)
    return 0


def main() -> int:
    """Follow the champion of the project in which this process was started."""
    from datetime import UTC, datetime

    from mlops.adapters import registry
    from mlops.layout import Layout, find_root
    from mlops.log import configure, quieten
    from mlops.params.name import project_name
    from mlops.serving.agreement import Agreement
    from mlops.serving.writer import Writer
    from mlops.settings import load_settings
    from mlops.site import Site

    quieten()
    layout = Layout(find_root())
    settings = load_settings(layout)
    configure(settings.log_level)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    site = Site(layout, settings, datetime.now(UTC), layout.work / "follower")
    project = project_name(layout.params)
    writer = Writer(layout.spool, project, settings.database(layout))
    writer.start()
    follower = Follower(site, project, registry, Agreement(site, project))
    try:
        return follow(follower, settings.poll_s, stop)
    except MlopsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last word
        return EXIT_ERROR
    finally:
        writer.close()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


if __name__ == "__main__":
    sys.exit(main())
