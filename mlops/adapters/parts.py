"""The parts of `mlops up`, and what is known of each, for those who look from outside."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from mlops.adapters import files
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops.layout import Layout


@dataclass(frozen=True)
class Part:
    """One process of the group.

    Attributes:
        name: lower case; also its log file's name.
        command: program and arguments.
        environment: variables on top of the supervisor's own.
        probe: URL that answers (with any status) once the part is up; empty: up when started.
        url: where people open it; empty for none.
        after: parts that must be up, or have finished, before.
        once: whether it is meant to finish, with exit code 0.
        spares_children: whether processes it started survive its own restart.
        ready_s: longest start; after that it is taken for hung.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    probe: str = ""
    url: str = ""
    after: tuple[str, ...] = ()
    once: bool = False
    spares_children: bool = False
    ready_s: float = 180.0


@dataclass
class PartState:
    """What the supervisor knows of one part.

    Attributes:
        name: of the part.
        url: where people open it; empty for none.
        probe: URL that answers once it is up; empty for none.
        state: waiting, starting, up, done, restarting or stopped.
        pid: process id of its newest start.
        restarts: how often it was started again.
        since_s: when `state` began, seconds since 1970, UTC.
        detail: how long the start took, or why it restarts.
    """

    name: str
    url: str = ""
    probe: str = ""
    state: str = "waiting"
    pid: int | None = None
    restarts: int = 0
    since_s: float = 0.0
    detail: str = ""


def write_parts(layout: Layout, supervisor: int, states: Iterable[PartState]) -> None:
    """Write what is known, with the supervisor's process id, to `.mlops/parts.json`."""
    content = {"pid": supervisor, "parts": [asdict(state) for state in states]}
    files.write_json(layout.parts, content)


def read_parts(layout: Layout) -> tuple[int, tuple[PartState, ...]] | None:
    """Return the supervisor's process id and its parts; nothing if none runs or none is known."""
    try:
        content = files.read_json(layout.parts)
        parts, pid = content["parts"], content["pid"]
        if not isinstance(parts, list) or not isinstance(pid, int):
            return None
        return pid, tuple(PartState(**part) for part in parts)
    except (DataError, KeyError, TypeError):
        return None
