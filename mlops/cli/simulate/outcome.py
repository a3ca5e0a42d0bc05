"""What a drill came to: one frozen object, printed, drawn and given as JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.incident_page import write_page
from mlops.adapters.mail import mailbox
from mlops.adapters.sql.engine import database
from mlops.core.drill import signs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.adapters.incidents import Incident
    from mlops.cli.simulate.drill import Drill, Seen
    from mlops.core.drill import Shift

RAISED = ("drift.detected", "quality.broken")
"""Events that open an incident."""


@dataclass(frozen=True)
class Told:
    """What the system would have said of one incident.

    Attributes:
        id: of the incident.
        kind: `drift` or `quality`.
        cause: what it is deduplicated by.
        severity: 1 to 5, the worst.
        state: `open` or `resolved`.
        columns: what moved, each as `column: in words`, the strongest first.
        shifts: kinds of shift it named, with what supports them.
        named: by which sign of the shift that was sent it can be recognised; empty for none.
        triage: `quality`, `costly`, `harmless` or `unclear`.
        advice: the triage in words.
        trigger: the trigger's answer in one word.
        answer: and in words.
        wanted: random labels that would settle it.
        page: its page.
    """

    id: str
    kind: str
    cause: str
    severity: int
    state: str
    columns: tuple[str, ...]
    shifts: tuple[str, ...]
    named: str
    triage: str
    advice: str
    trigger: str
    answer: str
    wanted: int
    page: str


@dataclass(frozen=True)
class Sent:
    """A mail that would have been sent: its subject and where it is rendered."""

    subject: str
    eml: str
    html: str


@dataclass(frozen=True)
class Outcome:
    """A drill's result.

    Attributes:
        project: registered-model name.
        version: in service when it began.
        shift: as it was asked for.
        traffic: where the rows came from.
        measure: `accuracy`, or of a regression `coverage`.
        window_rows: predictions of a window.
        period_minutes: how long one takes.
        clean: windows before the shift.
        windows: all of them.
        alarm_after: shifted windows until an incident opened; None if none did.
        false_incidents: incidents that opened before the shift.
        before: mean accuracy of the clean windows.
        during: of the shifted ones.
        incidents: oldest first.
        mails: oldest first.
        retrains: what became of each that was asked for.
        folder: the scratch copy.
        picture: the drawn curves.
    """

    project: str
    version: str
    shift: str
    traffic: str
    measure: str
    window_rows: int
    period_minutes: float
    clean: int
    windows: tuple[Seen, ...]
    alarm_after: int | None
    false_incidents: int
    before: float
    during: float
    incidents: tuple[Told, ...]
    mails: tuple[Sent, ...]
    retrains: tuple[str, ...]
    folder: str
    picture: str


def summarise(
    drill: Drill, shift: Shift, traffic: str, seen: Sequence[Seen], asked: tuple[str, ...]
) -> Outcome:
    """Gather what the scratch copy holds when the drill has ended."""
    scratch, clean = drill.scratch, drill.plan.clean
    layout = scratch.site.layout
    raised = [s for s in seen if set(RAISED) & set(s.events)]
    after = [s.number - clean for s in raised if s.shifted]
    return Outcome(
        project=scratch.project, version=scratch.version, shift=shift.text, traffic=traffic,
        measure=drill.measure, window_rows=drill.params.monitoring.window_rows,
        period_minutes=drill.period.total_seconds() / 60, clean=clean, windows=tuple(seen),
        alarm_after=after[0] if after else None, false_incidents=len(raised) - len(after),
        before=_mean(seen, shifted=False), during=_mean(seen, shifted=True),
        incidents=tuple(_told(drill, held, shift) for held in drill.incidents()),
        mails=_mails(layout.mailbox), retrains=asked, folder=str(layout.root),
        picture=str(layout.root / "drill.png"),
    )  # fmt: skip


def _mean(seen: Sequence[Seen], *, shifted: bool) -> float:
    return float(np.mean([s.accuracy for s in seen if s.shifted == shifted]))


def _told(drill: Drill, held: Incident, shift: Shift) -> Told:
    body, site = held.body, drill.site
    with database(site) as engine:
        page = write_page(site, engine, held.project, held.id)
    over = [c for c in body.columns if c.value >= c.threshold]
    columns = tuple(f"{c.column}: {c.words}" for c in over)
    said = " ".join((held.cause, *columns, *body.shifts, *body.breaks)).lower()
    named = [sign for sign in signs(shift, drill.server.schema) if _holds(said, sign.lower())]
    return Told(
        id=held.id, kind=held.kind, cause=held.cause, severity=body.severity, state=held.state,
        columns=columns, shifts=body.shifts, named=named[0] if named else "", triage=body.triage,
        advice=body.advice, trigger=body.trigger, answer=body.answer, wanted=body.wanted,
        page=str(page),
    )  # fmt: skip


def _holds(text: str, sign: str) -> bool:
    """Say whether a text holds a word, or a column's name, whole."""
    return re.search(rf"(?<!\w){re.escape(sign)}(?!\w)", text) is not None


def _mails(folder: Path) -> tuple[Sent, ...]:
    return tuple(
        Sent(str(mailbox.read(eml)["Subject"]), str(eml), str(eml.with_suffix(".html")))
        for eml in sorted(folder.glob("*.eml"))
    )
