"""One incident: what it is, and what is known of it; `mlops.adapters.incidents` keeps them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlops.core.alert import ColumnChange, Stage
    from mlops.core.estimate import ErrorEstimate

Kind = Literal["drift", "quality", "serving"]
State = Literal["open", "resolved"]
ACCURACY = "accuracy"
"""Cause of a drift incident that labels opened: the inputs need not have moved."""
_MOST_MOMENTS = 60


@dataclass(frozen=True)
class Moment:
    """One line of an incident's timeline: when, seconds since 1970, and what."""

    at_s: float
    words: str


def check(words: str) -> str:
    """Return the name of a failed quality check: `blank` of `blank: 90% of the rows are empty`.

    It makes two breaks one cause: the figures in their words differ from window to window.
    """
    return words.partition(":")[0]


@dataclass(frozen=True)
class Findings:
    """What is known of an incident.

    Attributes:
        windows: its alarming windows, oldest first.
        since_seq: first prediction whose label measures it: of its first window, or of a later one
            from which on it is another shift, or costs more.
        opened_seq: last prediction of the window that opened it.
        resolved_seq: last prediction of the window that resolved it.
        columns: the columns in the window of the alarm, those that moved most first.
        shown: the window that these columns are of; empty in incidents of before it was kept.
        breaks: failed quality checks of the newest window.
        causes: of a quality incident the checks that failed in it, in words, as they first came;
            empty in incidents of before they were kept.
        unsent: events of it that nobody has sent yet: `quality.broken blank: every row is empty`.
        told_causes: how many of them, from the first on, mails told.
        severity: 1 to 5, the worst so far.
        told_severity: that of the last mail; 0 if there was none, or before it was kept.
        labelled: labelled predictions that measure.
        accuracy: measured on them.
        reference_accuracy: accuracy on the reference.
        triage: `quality`, `costly`, `harmless` or `unclear`.
        advice: the triage in words.
        trigger: why the trigger last answered as it did, in one word.
        answer: that answer in words.
        worth: what the last probe said of a retrain's gain and cost; empty if none was asked for.
        wanted: random labels that would settle it; 0 when it is settled.
        training: labels, however chosen, that the trigger waits for; 0 when it waits for none.
        decides: the setting that asks for the larger of the two, with its value.
        escalated: an estimate says that it is costly before labels do.
        estimate: accuracy estimated without labels: value, low, high; empty for none.
        error_estimate: of a regression's mean absolute error, likewise; it is shown only.
        reference_mix: reference labels by class.
        shifts: kinds of shift with what supports them, in words.
        timeline: what happened, oldest first.
        due: mails that are to be sent, in order.
        notified: mails that were handed to the outbox, or need not be: another incident's stood
            for them, or a newer one overtook them in a silence.
        apart: it has no thread of its own yet: the digest or another incident told it, or nobody.
        mailed_s: when it was last mailed, seconds since 1970.
        regression: whether its version predicts numbers.
        gradual: why several windows opened it of which none did alone; empty if one did.
        loss: the loss beyond the margin that labels showed, in words; empty if they never did.
        lost: accuracy on the reference and in the windows of that loss; empty without one.
        lossy: whether it stands: then quiet windows of its version do not end the incident.
        back: what showed that it is over, in words.
        back_seq: last prediction of what showed it: a loss is looked for after it.
        told_loss: version whose measured loss a mail of its own thread told; empty if none did.
        unmeasured_s: since when nothing measures a loss that stands, though labels are overdue,
            seconds since 1970; 0 while they come.
        unmeasured_labels: labels that would measure it.
        slices: parts of the rows that lost more than the others, in words.
        sliced: labelled predictions when that was last looked at.
        looks: how often that was.
        looked_s: when its labels were looked at after it was closed and all of them had had their
            time, seconds since 1970; 0 for not yet.
        closed: who closed it without that, and why; empty where its windows or labels did.
    """

    windows: tuple[str, ...] = ()
    since_seq: int = 0
    opened_seq: int = 0
    resolved_seq: int = 0
    columns: tuple[ColumnChange, ...] = ()
    shown: str = ""
    breaks: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    told_causes: int = 0
    unsent: tuple[str, ...] = ()
    severity: int = 1
    told_severity: int = 0
    labelled: int = 0
    accuracy: float | None = None
    reference_accuracy: float | None = None
    triage: str = "unclear"
    advice: str = ""
    trigger: str = ""
    answer: str = ""
    wanted: int = 0
    training: int = 0
    decides: str = ""
    escalated: bool = False
    estimate: tuple[float, ...] = ()
    error_estimate: ErrorEstimate | None = None
    reference_mix: tuple[int, ...] = ()
    shifts: tuple[str, ...] = ()
    timeline: tuple[Moment, ...] = ()
    due: tuple[Stage, ...] = ()
    notified: tuple[Stage, ...] = ()
    apart: bool = False
    mailed_s: float = 0.0
    regression: bool = False
    gradual: str = ""
    loss: str = ""
    lost: tuple[float, ...] = ()
    lossy: bool = False
    back: str = ""
    back_seq: int = 0
    worth: str = ""
    told_loss: str = ""
    unmeasured_s: float = 0.0
    unmeasured_labels: int = 0
    slices: tuple[str, ...] = ()
    sliced: int = 0
    looks: int = 0
    looked_s: float = 0.0
    closed: str = ""

    def to_notify(self) -> tuple[Stage, ...]:
        """Return the mails that are due and not handed over yet."""
        return self.due[len(self.notified) :]

    @property
    def untold(self) -> tuple[str, ...]:
        """Causes that no mail has told yet."""
        return self.causes[self.told_causes :]

    def joined(self, breaks: tuple[str, ...], at_s: float) -> tuple[Findings, tuple[str, ...]]:
        """Return the findings with the checks that fail for the first time, and those."""
        held = self
        if not self.causes:  # kept before causes were: its first mail told what it held
            held = replace(self, causes=self.breaks, told_causes=len(self.breaks))
        known = {check(words) for words in held.causes}
        new = tuple(words for words in breaks if check(words) not in known)
        held = replace(held, causes=(*held.causes, *new))
        for words in new:
            held = held.told(at_s, f"broken, too: {words}")
        return held, new

    def owing(self, event: str, cause: str) -> Findings:
        """Return the findings with an event to be sent; kept, so that a kill does not lose it."""
        return replace(self, unsent=(*self.unsent, f"{event} {cause}"))

    def mailed(self) -> Findings:
        """Return the findings once a mail has told them as they stand."""
        return replace(self, told_causes=len(self.causes), told_severity=self.severity)

    @property
    def labels_wanted(self) -> int:
        """Labels that decide when a retrain may start: the larger need; 0 where none waits."""
        waits = self.triage == "unclear" or (self.triage, self.trigger) == ("costly", "labels")
        return max(self.wanted, self.training) if waits else 0

    @property
    def threaded(self) -> bool:
        """Whether it has a thread of its own already."""
        return bool(self.notified) and not self.apart

    def told(self, at_s: float, words: str) -> Findings:
        """Return the findings with one more line of the timeline; the same line twice is one."""
        if self.timeline and self.timeline[-1].words == words:
            return self
        first, rest = self.timeline[:1], self.timeline[1:]
        return replace(self, timeline=(*first, *rest[2 - _MOST_MOMENTS :], Moment(at_s, words)))


@dataclass(frozen=True)
class Incident:
    """One drift, quality or serving alarm, from detection to resolution."""

    id: str
    project: str
    kind: Kind
    cause: str
    version: str
    state: State
    opened_s: float
    updated_s: float
    resolved_s: float | None
    body: Findings

    def ends_quietly(self, version: str) -> bool:
        """Say whether quiet windows of a version end it; a loss that labels showed, labels end.

        A version that replaced the one that lost accuracy was judged by the gate on labels, so its
        quiet windows end what inputs opened; what labels opened, its labels must end.
        """
        if self.cause == ACCURACY:
            return False
        return not self.body.lossy or version != self.version
