"""What an alert mail says: one frozen object, worded once, rendered as text, HTML and subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Stage = Literal[
    "detected", "measured", "retrained", "promoted", "refused", "needs you", "overdue", "resolved",
    "digest",
]  # fmt: skip
PAGED = ("needs you", "overdue")
"""Stages at which a person is waited for."""


@dataclass(frozen=True)
class ColumnChange:
    """How one monitored column moved.

    Attributes:
        column: its name, `brightness` for example.
        method: `wasserstein` or `jensenshannon`, as in Evidently's report.
        value: the statistic in the window.
        threshold: its calibrated threshold.
        words: the change in units that a person knows: `18 % darker than the reference`.
        p: p-value, adjusted for all columns; None where it was not computed.
        trail: value / threshold in the last windows, the oldest first; empty for none.
        now: the statistic in the window that ended the incident, against the reference of the
            version then in service; None before, or where that version has no such column.
        now_threshold: that version's threshold.
    """

    column: str
    method: str
    value: float
    threshold: float
    words: str
    p: float | None = None
    trail: tuple[float, ...] = ()
    now: float | None = None
    now_threshold: float | None = None


@dataclass(frozen=True)
class Figure:
    """Accuracy at one time of an incident, as its mails show it.

    Attributes:
        when: `before it`, `during it`, `with version 2`.
        share: the accuracy, 0 to 1; None while it is not known.
        low: lower end of its 95 % interval; None where there is none.
        high: upper end.
        labels: that it was measured on; 0 where it was not.
        words: what else must be said: where it was measured, or why it is not known.
    """

    when: str
    share: float | None
    low: float | None = None
    high: float | None = None
    labels: int = 0
    words: str = ""


@dataclass(frozen=True)
class Alert:
    """One mail of an incident's thread.

    Attributes:
        project: registered-model name.
        incident: the incident's id; all its mails are one thread.
        kind: `drift`, `quality`, `serving`, or `approval` of a version that waits for a person.
        cause: what the incident is deduplicated by, such as the leading column.
        stage: where in its life the incident is.
        severity: 1 (mild) to 5 (severe).
        version: the model version that was watched.
        at_s: when this was written, seconds since 1970.
        real: whether it is real: windows in alarm, rate of false alarms.
        how_bad: the effect, and accuracy where it is measured.
        next_step: what happens next, and when.
        act: whether the reader must act, and how.
        columns: the columns that moved most, the strongest first.
        links: label and address: report, run, model version.
        silence: the command at the foot: it silences the incident, or gives the approval.
        why_you: why the reader got this mail.
        reference: up to six images of the reference, uint8 (N, H, W, C); empty for none.
        current: up to six images of the window, likewise.
        state: what the subject ends with, such as `retraining started`; empty: the stage.
        also: other incidents that this mail stands for, a line each, the most urgent first.
        notes: lines of the foot: how often alarms were false, and what the fixed reference says.
        again: makes a second mail of the same stage one of its own, such as a reminder.
        figures: accuracy at the times that matter, in their order.
        measure: what they are, `accuracy`, or `coverage` of a regression.
        moved: the heading over the columns.
        pictured: what the images are of: which window, from when.
        over: whether it tells of something past: `next_step` then says what ended it.
    """

    project: str
    incident: str
    kind: str
    cause: str
    stage: Stage
    severity: int
    version: str
    at_s: float
    real: str
    how_bad: str
    next_step: str
    act: str
    columns: tuple[ColumnChange, ...]
    links: tuple[tuple[str, str], ...]
    silence: str
    why_you: str
    reference: NDArray[np.uint8]
    current: NDArray[np.uint8]
    state: str = ""
    also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    again: str = ""
    figures: tuple[Figure, ...] = ()
    measure: str = "accuracy"
    moved: str = "What moved"
    pictured: str = "This window, what it sees now"
    over: bool = False
