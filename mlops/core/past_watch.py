"""Incidents in a backtest: opened, followed and closed as `monitor` does, by the same rules.

Two are held apart, as there. Quality: broken data, of which one window is enough. Drift: the
rule over windows (`mlops.core.complete_rule`), or a loss that labels show
(`mlops.core.accuracy_loss`). What inputs opened, quiet windows end; what labels showed, labels end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlops.core.accuracy_loss import Promise
    from mlops.core.alarm import Verdict
    from mlops.core.complete_rule import CompleteRule
    from mlops.core.past_loss import Measured
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


@dataclass(frozen=True)
class Seen:
    """A window of sound data: its place, its verdict, and what windows up to it add up to."""

    place: int
    verdict: Verdict
    evidence: float


@dataclass
class Watch:
    """What the rule remembers between windows.

    Attributes:
        rule: from alarms to incidents.
        labels: what they say of the version in service.
        quality: the incident of broken data that is open.
        drift: the incident of drift, or of lost accuracy, that is open.
        done: those that were closed.
        breaks: whether its windows since the quality incident opened are broken, oldest first.
        sound: its windows since drift was opened or closed, oldest first.
        adding_up: what its windows' p-values add up to.
        drifted: places of windows that drifted.
        broken: places of windows with broken data.
        lossy: whether a loss that labels showed stands.
        shown: place after which labels may say that it is over.
        inherited: whether the drift incident is of a version that was replaced.
    """

    rule: CompleteRule
    labels: Measured
    quality: Episode | None = None
    drift: Episode | None = None
    done: list[Episode] = field(default_factory=list)
    breaks: list[bool] = field(default_factory=list)
    sound: list[Seen] = field(default_factory=list)
    adding_up: float = 0.0
    drifted: set[int] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)
    lossy: bool = False
    shown: int = -1
    inherited: bool = False

    def judge(self, place: int, verdict: Verdict) -> list[str]:
        """Let a window open, follow or close incidents; return what happened, in words."""
        if verdict.breaks:
            self.broken.add(place)
            return self._broken(place, verdict.breaks[0])
        if verdict.drifted:
            self.drifted.add(place)
        return [*self._mended(place), *self._sound(place, verdict)]

    def measure(self, place: int, right: int, labelled: int) -> None:
        """Take in the labels, at least one, of a window of the version in service.

        Of broken data they measure the break, not the model.
        """
        if place not in self.broken:
            self.labels.add(place, right, labelled)

    def hear(self, place: int) -> list[str]:
        """Let the labels that are here open, escalate or close the drift incident."""
        if self.drift is None or not self.lossy:
            return self._lost(place)
        if not self.inherited:
            over = self.labels.over(self.shown, self.rule.single.clear_after)
            return self._back(place) if over else []
        if self.drift.detector == "accuracy" and self.labels.back():
            return self._back(place)
        return self._lost(place)

    def look(self, place: int, worth: Triage) -> None:
        """Note what the open drift incident is worth now; broken data says nothing of it."""
        if self.drift is not None and worth.kind != "quality":
            held, kind = self.drift, worth.kind
            first = kind if place == held.opened else held.first
            costly = place if kind == "costly" and held.costly is None else held.costly
            self.drift = replace(held, first=first, worth=kind, costly=costly, words=worth.words)

    def renew(self, promise: Promise | None) -> None:
        """Begin anew with a version that serves from the next window on.

        Incidents stay open. That of drift is its predecessor's until its own windows or labels
        alarm.
        """
        self.breaks, self.sound, self.adding_up = [], [], 0.0
        self.labels.promise, self.labels.told, self.labels.evidence = promise, [], 0.0
        self.inherited = self.drift is not None

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """Every incident, in the order in which they opened."""
        held = [one for one in (self.quality, self.drift) if one is not None]
        return tuple(sorted((*self.done, *held), key=lambda one: one.number))

    def _broken(self, place: int, cause: str) -> list[str]:
        if self.quality is not None:
            self.breaks.append(True)
            return []
        made = self._new("quality", cause, place, place)
        self.quality, self.breaks = replace(made, first="quality", worth="quality"), []
        return [f"incident {made.number} opened"]

    def _mended(self, place: int) -> list[str]:
        """Follow the quality incident with a window of sound data."""
        if self.quality is None:
            return []
        self.breaks.append(False)
        if not self.rule.single.clears(self.breaks):
            return []
        held, self.quality = self.quality, None
        self.done.append(replace(held, closed=place))
        return [f"incident {held.number} closed"]

    def _sound(self, place: int, verdict: Verdict) -> list[str]:
        if self.rule.detector is not None:
            self.adding_up = self.rule.detector.after(self.adding_up, verdict.p)
        window = Seen(place, verdict, self.adding_up)
        self.sound.append(window)
        if self.drift is not None:
            return self._follow(window, self.drift)
        found = self.rule.raised(self.sound)
        if found is None:
            return []
        return self._open("drift", found.cause, place, found.windows[0].place)

    def _follow(self, window: Seen, held: Episode) -> list[str]:
        if window.verdict.drifted or self.rule.gathered(window):
            if self.inherited and held.detector == "drift":  # the new version alarms as well
                self.drift = replace(held, since=window.place)
                self.inherited = self.lossy = False
            return []
        quietly = held.detector == "drift" and (self.inherited or not self.lossy)
        if not quietly or not self.rule.clears(self.sound):
            return []
        return self._close(held, window.place, window.place)

    def _lost(self, place: int) -> list[str]:
        """Let a loss that labels show open an incident, or stand in the one that is open."""
        lost = self.labels.lost_since()
        if lost is None:
            return []
        said: list[str] = []
        if self.drift is None:
            said = self._open("accuracy", "accuracy", place, lost)
            self.shown = self.labels.newest
        elif self.inherited:
            self.drift, self.shown = replace(self.drift, since=lost), self.labels.newest
        elif not self.labels.beyond(self.drift.since):  # what was right before would hide the loss
            self.drift = replace(self.drift, since=lost)
        self.lossy, self.inherited = True, False
        return said

    def _back(self, place: int) -> list[str]:
        """End what labels opened, unless inputs alarm just now; else note that no loss stands."""
        newest = self.labels.newest
        if self.drift is not None and self.drift.detector == "accuracy":
            return [] if newest in self.drifted else self._close(self.drift, place, newest)
        self.lossy, self.shown = False, newest
        self.labels.look_after(newest)
        return []

    def _new(self, detector: Detector, cause: str, place: int, since: int) -> Episode:
        return Episode(len(self.episodes) + 1, detector, cause, place, since)

    def _open(self, detector: Detector, cause: str, place: int, since: int) -> list[str]:
        self.drift = self._new(detector, cause, place, since)
        self.sound, self.shown = [], place
        return [f"incident {self.drift.number} opened"]

    def _close(self, held: Episode, place: int, ended: int) -> list[str]:
        """Close the drift incident; what is looked at next comes after the window that ended it."""
        self.done.append(replace(held, closed=place))
        if not self.inherited:  # what its own labels show is no part of a predecessor's incident
            self.labels.look_after(ended)
        self.drift, self.lossy, self.inherited = None, False, False
        self.sound = [one for one in self.sound if one.place > ended]
        if not self.sound:
            self.adding_up = 0.0
        return [f"incident {held.number} closed"]
