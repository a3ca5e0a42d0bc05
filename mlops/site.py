"""What a step is given besides its parameters, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from mlops.layout import Layout
    from mlops.settings import Settings


Facts = dict[str, str | int | float | bool | None]
SENDS = "sends"
"""Option of a caller that sends a report's events on, and notes itself that it has."""


@dataclass(frozen=True)
class Site:
    """Where and when a step runs.

    Attributes:
        layout: every path.
        settings: the environment.
        now: the clock's answer at the start, UTC and aware; a step never asks again.
        work: folder for half-done work, keyed by the hash of the step's dependencies and
            parameters; survives a kill, so that the next run resumes.
        staged: declared output → the fresh folder that stands in for it until the step ends.
        options: flags of this one call that leave no trace in a result, such as `again`, or
            `name=value`: `reason=drift`, `incident=…`, `actor=…`, `to=3`.
    """

    layout: Layout
    settings: Settings
    now: datetime
    work: Path
    staged: dict[Path, Path] = field(default_factory=dict)
    options: frozenset[str] = frozenset()

    def out(self, declared: Path) -> Path:
        """Return where to write a declared output; it replaces the old one when the step ends."""
        return self.staged.get(declared, declared)

    def option(self, name: str, default: str = "") -> str:
        """Return the value of the option `name=value`, or the default if it was not given."""
        given = [o.partition("=")[2] for o in self.options if o.startswith(f"{name}=")]
        return given[0] if given else default


@dataclass(frozen=True)
class Event:
    """Something that others may want to react to; flows emit it to Prefect.

    Attributes:
        name: `drift.detected`, `drift.cleared`, `quality.broken`, `retrain.requested`,
            `retrain.refused`.
        resource: what it is about: an incident's id.
        payload: names and values, for the automation's parameters.
        id: the same each time that this very event is sent; empty where nothing is kept of it.
    """

    name: str
    resource: str
    payload: Facts = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True)
class Report:
    """What a step has to say.

    Attributes:
        summary: one line for the terminal and the Prefect run.
        facts: names and values of the few figures that matter, for `--json` and artifacts.
        exit_code: 0, or a result that is no error (11 for a refusal under `--exit-code`).
        markdown: a longer text for a keyed Prefect artifact; empty for none.
        events: what happened, for those who react.
    """

    summary: str
    facts: Facts = field(default_factory=dict)
    exit_code: int = 0
    markdown: str = ""
    events: tuple[Event, ...] = ()
