"""Bring the registry's champion into service: fetch, verify, replay, and move the pointer.

What fails is refused: the old version keeps serving and an incident says why.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from mlops.adapters import seal
from mlops.core.redacted import parse_redact
from mlops.errors import MlopsError, RegistryError, Unavailable, UsageError
from mlops.serving import metrics
from mlops.serving.beat import Beat
from mlops.serving.model import (
    Model,
    Pointer,
    read_pointer,
    read_schema,
    sealed,
    write_pointer,
)
from mlops.serving.pointer import drop_pointer

if TYPE_CHECKING:
    from mlops.serving.notices import Notices
    from mlops.site import Site

_REFUSED_FOR_S = 60.0


class Registry(Protocol):
    """What the follower needs of a registry; `mlops.adapters.registry` is one."""

    def champion(self, site: Site, project: str, /) -> str | None:
        """Return the version that is to be in service, or None."""

    def alias(self, site: Site, project: str, name: str, /) -> str | None:
        """Return the version that another alias names, or None."""

    def fetch(self, site: Site, project: str, version: str, /) -> Path:
        """Return a verified local copy of a version."""


class Keeper(Protocol):
    """Keeps aliases and ledger in agreement; `mlops.serving.agreement.Agreement` is one.

    What is served must not wait for it.
    """

    def keep(self, champion: str | None, /) -> None:
        """Look whether they agree, if it is time to."""


class Follower:
    """Brings the registry's champion into service.

    Args:
        site: where.
        project: registered-model name.
        registry: whose champion is followed.
        notices: where refusals are told.
        keeper: of aliases and ledger; None for none.

    Attributes:
        reached: whether the registry has answered.
        unfit: why the first version that came must not be served: `MLOPS_REDACT` names columns
            that it lacks; empty for no such reason.
    """

    def __init__(
        self,
        site: Site,
        project: str,
        registry: Registry,
        notices: Notices,
        keeper: Keeper | None = None,
    ) -> None:
        self._notices, self._keeper = notices, keeper
        self._site, self._project, self._registry = site, project, registry
        self._home = site.layout.serving / project
        self._refused: dict[str, float] = {}
        self._redact = parse_redact(site.settings.redact)
        self._held: Pointer | None = None  # what was in service last, its copy whole or not
        self._damaged = self._begun = False
        self._answered_s = time.monotonic()
        self.reached, self.unfit = False, ""

    def poll(self, now_s: float) -> str | None:
        """Look once; return the version that is now in service, if any.

        Raises:
            Unavailable: if the registry does not answer; what is in service stays.
        """
        champion = self._ask()
        self._answered_s = time.monotonic()
        if self._keeper is not None:
            self._keeper.keep(champion)
        metrics.REGISTRY_SEEN.set(now_s)
        served = self._follow(champion, now_s)
        self.reached = True  # a database that is away while a version is fetched is no answer
        metrics.REFUSED.set(float(champion is not None and served != champion))
        return served

    def tell_staleness(self) -> None:
        """Set the metric that says how long ago the registry last answered, by a steady clock."""
        metrics.STALENESS.set(time.monotonic() - self._answered_s)

    def cached(self) -> bool:
        """Say whether a verified copy can be served without the registry.

        A damaged copy's pointer stays: it says what is in service, and is to be fetched again.
        """
        found = None
        try:
            found = read_pointer(self._home)
            if found is None:
                return False
            seal.verify(Path(found.folder), found.digest)
        except (MlopsError, OSError) as error:
            if not self._damaged:
                structlog.get_logger().error("cached version is not served", why=str(error))
            self._damaged, self._held = True, found or self._held
            # A worker loads what a pointer names as soon as it is whole, looked at or not.
            if found is None or self._is_first():
                drop_pointer(self._home, "current")
            return False
        self._held, self._damaged, self._begun = found, False, True
        return True

    def mend(self, now_s: float) -> None:
        """Fetch what is in service again if its copy or its pointer is lost, whoever is champion.

        Raises:
            Unavailable: if registry, database or disk do not answer.
        """
        held = self._held
        if held is not None and self._whole() is None and not self._waits(held.version, now_s):
            self._bring(held.version, now_s)

    def remembered(self) -> bool:
        """Say whether a worker serves, if only from memory: it is not to end for a damaged copy."""
        return Beat(self._home).another_is_ready()

    def _follow(self, champion: str | None, now_s: float) -> str | None:
        served = self._whole()
        if champion is None:
            return served
        if served != champion:
            if self._waits(champion, now_s) or not self._bring(champion, now_s):
                return served
            self._refused.clear()
        self._notices.settle(champion)
        return champion

    def _whole(self) -> str | None:
        """Return the version in service, if a worker that starts now could load it."""
        pointer = read_pointer(self._home)
        return pointer.version if pointer is not None and not self._damaged else None

    def _waits(self, version: str, now_s: float) -> bool:
        """Say whether a version was refused a moment ago."""
        # The distance, not the order: a clock that jumps back must not refuse for ever.
        return abs(now_s - self._refused.get(version, -math.inf)) < _REFUSED_FOR_S

    def _ask(self) -> str | None:
        try:
            return self._registry.champion(self._site, self._project)
        except Unavailable:
            raise
        except Exception as error:
            msg = f"registry: {first_line(error)}; check MLOPS_MLFLOW_URI"
            raise Unavailable(msg) from error

    def _bring(self, version: str, now_s: float) -> bool:
        try:
            pointer = prepare(self._registry, self._site, self._project, version, now_s)
        except RegistryError as error:
            self._refuse(version, first_line(error), now_s)
            return False
        if self._is_first() and not self._fits(pointer):
            return False
        held = self._held
        if held is not None and held.version == version:
            pointer = replace(pointer, since_s=held.since_s)  # it never left
        write_pointer(self._home, pointer)
        self._held, self._damaged, self._begun = pointer, False, True
        structlog.get_logger().info("in service", version=version)
        return True

    def _is_first(self) -> bool:
        """Say whether nothing was served since the start, so that columns are to be looked for.

        That a pointer is missing does not tell: its file, or what it names, may be damaged.
        """
        return bool(self._redact.columns) and not self._begun and not self.remembered()

    def _fits(self, pointer: Pointer) -> bool:
        """Say whether a version has the columns that are to be redacted."""
        try:
            self._redact.need(read_schema(Path(pointer.folder)), f"version {pointer.version}")
        except UsageError as error:
            self.unfit = str(error)
        return not self.unfit

    def _refuse(self, version: str, reason: str, now_s: float) -> None:
        self._refused[version] = now_s
        self._notices.refuse(version, reason)
        metrics.REFUSED_VERSIONS.inc()
        structlog.get_logger().error("version refused", version=version, why=reason)


def prepare(registry: Registry, site: Site, project: str, version: str, now_s: float) -> Pointer:
    """Fetch a version, check it against ledger and manifest, and replay its golden requests.

    Raises:
        RegistryError: if the version fails any of it.
        Unavailable: if registry, database or disk do not answer.
    """
    try:
        folder = registry.fetch(site, project, version)
        digest = sealed(folder)
        Model(folder, version).replay(folder)
    except (RegistryError, Unavailable):
        raise
    except Exception as error:
        msg = f"registry: version {version}: {first_line(error)}; check MLOPS_MLFLOW_URI"
        raise Unavailable(msg) from error
    return Pointer(version, str(folder), digest, now_s)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, for a log line or an incident."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
