"""Incidents in a backtest: opened and closed by the rule of `monitor`, and by measured losses.

Two detectors share the budget. Drift: thresholds, K of N windows, hysteresis; and, if it is asked
for, what the windows' p-values add up to (`mlops.core.continuous`). Accuracy: evidence that adds up
over windows whose labels are here (`mlops.core.accuracy_loss`). It opens nothing that cost less
than the margin, which is what a false incident is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mlops.core.accuracy_loss import began, gathered
from mlops.core.continuous import averaged, limit

if TYPE_CHECKING:
    from mlops.core.alarm import Rule, Verdict
    from mlops.core.continuous import Detector as Gathering
    from mlops.core.triage import Kind, Triage

Detector = Literal["drift", "accuracy", "quality"]


@dataclass(frozen=True)
class Episode:
    """An incident of the backtest.

    Attributes:
        number: from 1.
        detector: what opened it.
        cause: the column that drifted most, `accuracy`, or what is broken.
        opened: place of the window that opened it.
        since: place of the window from which accuracy is measured for it.
        closed: place of the window that closed it; None while it is open.
        first: what it was worth when it was opened.
        worth: what it was worth when last looked at.
        costly: place of the window at which the loss was first measured; None if it never was.
        words: why, as last looked at.
    """

    number: int
    detector: Detector
    cause: str
    opened: int
    since: int
    closed: int | None = None
    first: Kind = "unclear"
    worth: Kind = "unclear"
    costly: int | None = None
    words: str = ""

    @property
    def false(self) -> bool:
        """Whether it was opened without any loss beyond the margin; not if data was broken."""
        return self.worth == "harmless" and self.costly is None

    @property
    def noted(self) -> bool:
        """Whether it was known for harmless as it was opened: a line of the digest."""
        return self.false and self.first == "harmless"


@dataclass
class Watch:
    """What the rule remembers between windows.

    Attributes:
        rule: from alarms to incidents.
        rate: budgeted false incidents per window.
        margin: loss of accuracy that is worth a retrain.
        gathering: of shifts that no single window shows; None for none.
        held: the incident that is open.
        done: those that were closed, oldest first.
        alarms: of the windows since the last change, oldest first.
        evidence: of a loss beyond the margin, since the last change.
        told: losses of measured windows of the version in service: place, labels, loss.
        shifted: what the windows' p-values add up to.
        run: the windows that this comes from, each with its place.
    """

    rule: Rule
    rate: float
    margin: float
    gathering: Gathering | None = None
    held: Episode | None = None
    done: list[Episode] = field(default_factory=list)
    alarms: list[bool] = field(default_factory=list)
    evidence: float = 0.0
    told: list[tuple[int, int, float]] = field(default_factory=list)
    shifted: float = 0.0
    run: list[tuple[int, Verdict]] = field(default_factory=list)

    def measure(
        self, place: int, right: int, labelled: int, reference: tuple[float, float]
    ) -> None:
        """Take in the labels of a window of the version in service.

        Args:
            place: of the window.
            right: labelled rows that were answered right.
            labelled: at least 1.
            reference: accuracy on the reference, and what it is certain to reach less the margin.
        """
        self.told.append((place, labelled, reference[0] - right / labelled))
        self.evidence = gathered(self.evidence, (right, labelled), reference[1])

    def judge(self, place: int, verdict: Verdict) -> str:
        """Let a window open, follow or close an incident.

        Args:
            place: of the window.
            verdict: its own.

        Returns:
            `opened`, `closed`, or nothing.
        """
        if verdict.breaks:
            return self._broken(place, verdict.breaks[0])
        self.alarms.append(bool(verdict.drifted) or (self.held is not None and self._lossy()))
        self._gather(place, verdict)
        if self.held is not None:
            faded = self.gathering is None or self.gathering.clears(self.shifted)
            return self._close(place) if faded and self.rule.clears(self.alarms) else ""
        if self.evidence >= limit(self.rate):
            return self._open(place, "accuracy", "accuracy", began(self.told, self.margin))
        if self.rule.raises(self.alarms):
            looked = self.alarms[-self.rule.raise_n :]
            since = place - len(looked) + 1 + looked.index(True)
            return self._open(place, "drift", verdict.drifted[0].column, since)
        if self.gathering is not None and self.gathering.raises(self.shifted):
            lead = averaged([one for _, one in self.run])[0]
            return self._open(place, "drift", lead.column, self.run[0][0])
        return ""

    def look(self, place: int, worth: Triage) -> None:
        """Note what the open incident is worth now."""
        if self.held is None:
            return
        held = self.held
        first = worth.kind if place == held.opened else held.first
        costly = place if worth.kind == "costly" and held.costly is None else held.costly
        self.held = replace(held, first=first, worth=worth.kind, costly=costly, words=worth.words)

    def renew(self, place: int) -> None:
        """Begin anew with a version that serves from a window on; an incident stays open."""
        self.alarms, self.evidence, self.told = [], 0.0, []
        self.shifted, self.run = 0.0, []
        if self.held is not None:
            self.held = replace(self.held, since=place)

    def _gather(self, place: int, verdict: Verdict) -> None:
        """Let the window's p-value add to those before it."""
        if self.gathering is not None:
            # Below 1 it says nothing: what came before did not lead to what is now.
            self.run = [*(self.run if self.shifted >= 1.0 else []), (place, verdict)]
            self.shifted = self.gathering.after(self.shifted, verdict.p)

    def _lossy(self) -> bool:
        """Say whether the newest measured window lost more than the margin."""
        return bool(self.told) and self.told[-1][2] > self.margin

    def _broken(self, place: int, broken: str) -> str:
        if self.held is None:
            return self._open(place, "quality", broken, place)
        if self.held.detector == "quality":
            self.alarms.append(True)
        return ""

    def _open(self, place: int, detector: Detector, cause: str, since: int) -> str:
        number = len(self.done) + 1
        self.held = Episode(number, detector, cause, place, since)
        self.alarms = []
        return "opened"

    def _close(self, place: int) -> str:
        if self.held is not None:
            self.done.append(replace(self.held, closed=place))
        self.held, self.alarms, self.evidence = None, [], 0.0
        self.shifted, self.run = 0.0, []
        return "closed"

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """Every incident, oldest first."""
        return (*self.done, *((self.held,) if self.held else ()))
