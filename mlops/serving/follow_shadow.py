"""The alias `shadow`, followed like the champion: verified first, taken away when it is gone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import structlog

from mlops.errors import RegistryError
from mlops.serving.follower import first_line
from mlops.serving.pointer import drop_pointer, read_pointer, write_pointer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.serving.follower import Registry
    from mlops.serving.notices import Notices
    from mlops.serving.pointer import Pointer
    from mlops.site import Site

_AGAIN_S = 60.0
_ALARM = "shadow"


class FollowShadow:
    """A duty of the follower.

    Args:
        site: where.
        project: registered-model name.
        registry: where the alias is.
        prepare: fetches and verifies a version, as for the champion.
        notices: where a refusal is told.
    """

    def __init__(
        self,
        site: Site,
        project: str,
        registry: Registry,
        *,
        prepare: Callable[[str, float], Pointer],
        notices: Notices,
    ) -> None:
        self._site, self._project, self._registry = site, project, registry
        self._prepare, self._notices = prepare, notices
        self._home = site.layout.serving / project
        self._refused = ("", -math.inf)

    def keep(self, now_s: float) -> None:
        """Look once.

        Raises:
            Unavailable: if the registry does not answer; the shadow stays as it is.
        """
        version = self._registry.alias(self._site, self._project, "shadow")
        champion, held = read_pointer(self._home), read_pointer(self._home, "shadow")
        if version is None or (champion is not None and champion.version == version):
            if held is not None:
                drop_pointer(self._home, "shadow")
                structlog.get_logger().info("no shadow", version=held.version)
            self._notices.close("shadow refused", _ALARM)
            return
        refused, at_s = self._refused
        if held is not None and held.version == version:
            return
        if refused == version and abs(now_s - at_s) < _AGAIN_S:
            return
        try:
            pointer = self._prepare(version, now_s)
        except RegistryError as error:
            drop_pointer(self._home, "shadow")
            self._refused = (version, now_s)
            self._notices.open("shadow refused", version, first_line(error), _ALARM)
            return
        write_pointer(self._home, pointer, "shadow")
        self._notices.close("shadow refused", _ALARM)
        structlog.get_logger().info("shadow", version=version)
