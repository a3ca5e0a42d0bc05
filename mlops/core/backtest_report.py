"""What a backtest found: every window, every incident, every retrain, and the sum of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlops.core.power import labels_needed
from mlops.core.quality import is_unusual
from mlops.core.realised import keeps_budget

if TYPE_CHECKING:
    from mlops.core.decision import Outcome, Verdict
    from mlops.core.past_watch import Episode
    from mlops.core.trigger import Cause

_DAY_S = 86_400.0


@dataclass(frozen=True)
class Step:
    """One window.

    Attributes:
        start_s: time of its first row, seconds since 1970.
        end_s: time of its last row.
        rows: how many it has.
        version: the version that served it; 1 is the first model.
        labelled: its rows whose labels measure, whenever they came.
        right: those of them that were answered right.
        right_static: those that the first model would have answered right.
        drifted: the column that drifted most; empty for none.
        incident: number of the incident that is open at its end, or was closed by it; 0 for none.
        worth: what that incident is worth.
        events: what happened at its end, in order.
    """

    start_s: float
    end_s: float
    rows: int
    version: int
    labelled: int
    right: int
    right_static: int
    drifted: str
    incident: int
    worth: str
    events: tuple[str, ...]

    @property
    def accuracy(self) -> float | None:
        """Of what was served; None without labels."""
        return self.right / self.labelled if self.labelled else None

    @property
    def accuracy_static(self) -> float | None:
        """Of the first model; None without labels."""
        return self.right_static / self.labelled if self.labelled else None


@dataclass(frozen=True)
class Retrain:
    """One retrain.

    Attributes:
        version: that it made.
        asked: place of the window at whose end it was asked for.
        at_s: when, seconds since 1970.
        rows: that it was fitted on.
        minutes: that it took on this machine.
        outcome: of the gate, as last judged; `failed` if nothing came of it.
        words: the weightiest reason.
        promoted: place of the window at whose end it was promoted; None if it never was.
        failed: the checks of the gate that failed.
        cause: what asked for it.
    """

    version: int
    asked: int
    at_s: float
    rows: int
    minutes: float
    outcome: Outcome | Literal["failed"]
    words: str
    promoted: int | None = None
    failed: tuple[str, ...] = ()
    cause: Cause = "drift"

    def judged(self, verdict: Verdict, promoted: int | None) -> Retrain:
        """Return it with the gate's answer."""
        failed = tuple(check.name for check in verdict.checks if check.passed is False)
        return replace(
            self,
            outcome=verdict.outcome,
            words=verdict.reasons[0],
            promoted=promoted,
            failed=failed,
        )


@dataclass(frozen=True)
class Summary:
    """The sum of a backtest.

    Attributes:
        windows: walked through.
        retrains: asked for by the trigger.
        promotions: those that came into service.
        refused: those that the gate rejected.
        inconclusive: those that too few labels left open.
        failed: those that could not be fitted.
        incidents: opened, without the ones of broken data; with those of rows that came in
            unusually.
        costly: those that a measured loss beyond the margin stands behind.
        false_alarms: those without, which somebody was told of as unclear or that had to be
            measured first.
        noted: those without that were known for harmless as they opened: lines of the digest.
        unsettled: those that too few labels left open.
        broken: incidents of broken data.
        allowed: false alarms and notes that the budget allows in so many windows.
        within: whether chance explains that there were more.
        accuracy: mean over labelled rows, with the loop.
        accuracy_static: likewise, of the first model.
        days_degraded: in windows at which the accuracy, of as many of the newest windows as show
            a loss of the margin, lay more than that below the first reference's; None where that
            has no labels.
        days_degraded_static: likewise, of the first model.
        minutes: of all trainings, the first included.
    """

    windows: int
    retrains: int
    promotions: int
    refused: int
    inconclusive: int
    failed: int
    incidents: int
    costly: int
    false_alarms: int
    noted: int
    unsettled: int
    broken: int
    allowed: float
    within: bool
    accuracy: float | None
    accuracy_static: float | None
    days_degraded: float | None
    days_degraded_static: float | None
    minutes: float


@dataclass(frozen=True)
class Backtest:
    """What a walk through history found.

    Attributes:
        steps: the windows, in order.
        first: place of the first of them among all windows.
        episodes: the incidents.
        retrains: in order.
        measure: `accuracy`, or of a regression `coverage`.
        margin: loss that is worth a retrain.
        rate: budgeted false incidents per window.
        reference: accuracy of the first model on its reference.
        first_rows: that the first model was fitted on.
        first_from_s: time of the oldest of them.
        first_minutes: that it took.
        calibrated: whether the first thresholds are.
        threshold_words: how they were found, and why not calibrated.
        left_out: limits of the gate that were not asked, in words.
    """

    steps: tuple[Step, ...]
    first: int
    episodes: tuple[Episode, ...]
    retrains: tuple[Retrain, ...]
    measure: str
    margin: float
    rate: float
    reference: float | None
    first_rows: int
    first_from_s: float
    first_minutes: float
    calibrated: bool
    threshold_words: str
    left_out: tuple[str, ...]

    def summary(self) -> Summary:
        """Add it up."""
        drift = [e for e in self.episodes if e.detector != "quality" or is_unusual(e.cause)]
        false = [e for e in drift if e.false]
        outcomes = [r.outcome for r in self.retrains]
        labelled = sum(s.labelled for s in self.steps)
        count = len(self.steps)
        return Summary(
            windows=count, retrains=len(outcomes), promotions=outcomes.count("promote"),
            refused=outcomes.count("reject"), inconclusive=outcomes.count("inconclusive"),
            failed=outcomes.count("failed"), incidents=len(drift),
            costly=sum(e.costly is not None for e in drift),
            false_alarms=sum(not e.noted for e in false), noted=sum(e.noted for e in false),
            unsettled=sum(e.worth in ("unclear", "quality") and e.costly is None for e in drift),
            broken=len(self.episodes) - len(drift), allowed=self.rate * count,
            within=keeps_budget(len(false), count, self.rate),
            accuracy=sum(s.right for s in self.steps) / labelled if labelled else None,
            accuracy_static=sum(s.right_static for s in self.steps) / labelled
            if labelled else None,
            days_degraded=self._degraded([s.right for s in self.steps]),
            days_degraded_static=self._degraded([s.right_static for s in self.steps]),
            minutes=self.first_minutes + sum(r.minutes for r in self.retrains),
        )  # fmt: skip

    def _degraded(self, right: list[int]) -> float | None:
        """Return the days of the windows that lay below; a window lasts until the next begins."""
        if self.reference is None:
            return None
        wanted = labels_needed(self.reference, self.margin)
        starts = [*(s.start_s for s in self.steps), self.steps[-1].end_s]
        total_s = 0.0
        for at in range(len(self.steps)):
            first = at
            while first and sum(s.labelled for s in self.steps[first : at + 1]) < wanted:
                first -= 1
            labelled = sum(s.labelled for s in self.steps[first : at + 1])
            low = sum(right[first : at + 1]) < (self.reference - self.margin) * labelled
            total_s += (starts[at + 1] - starts[at]) * low
        return total_s / _DAY_S
