"""The loop over history: what it would have done, by the functions that do it in production.

Window by window: drift against the reference of the version in service, the alarm's rule, triage on
the labels that had come, the trigger, a retrain, the gate, promotion; beside it the first model,
left alone. Which rows a retrain learns from is `_span`, and nothing else knows: a policy of
training windows takes its place there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.accuracy_loss import began
from mlops.core.alarm import Verdict, judge
from mlops.core.backtest_report import Backtest, Retrain, Step
from mlops.core.drift import statistics
from mlops.core.past import mature
from mlops.core.past_gate import Judging, compare, lenient
from mlops.core.past_service import install
from mlops.core.past_trigger import answer as trigger
from mlops.core.past_trigger import loop_at
from mlops.core.past_watch import Watch
from mlops.core.power import labels_needed
from mlops.core.quality import Arrivals, breaks
from mlops.core.triage import Accuracy, triage
from mlops.core.volume import SPANS, Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.exam import Look
    from mlops.core.past import Past
    from mlops.core.past_plan import Plan
    from mlops.core.past_service import Learner, Served
    from mlops.core.triage import Triage


def backtest(past: Past, plan: Plan, learner: Learner) -> Backtest:
    """Walk through history.

    Args:
        past: all of it.
        plan: windows and rules.
        learner: fits each model.

    Raises:
        ValueError: if no first model can be fitted.
    """
    span = np.arange(plan.windows[0].start, plan.windows[plan.first].start)
    first = install(past, span, learner, (plan.dealing, plan.rules), 1)
    walk = _Walk(past, plan, learner, first)
    for place in range(plan.first, len(plan.windows)):
        walk.step(place)
    return Backtest(
        steps=tuple(walk.steps), first=plan.first, episodes=walk.watch.episodes,
        retrains=tuple(walk.retrains),
        measure="accuracy" if past.schema.classes else "coverage", margin=plan.margin,
        rate=plan.rules.rate, reference=first.accuracy, first_rows=first.rows,
        first_from_s=float(past.observed_s[0]), first_minutes=first.learnt.minutes,
        threshold_words=first.thresholds.reason, calibrated=first.thresholds.calibrated,
        left_out=walk.left_out,
    )  # fmt: skip


class _Walk:
    """What stands between two windows."""

    def __init__(self, past: Past, plan: Plan, learner: Learner, first: Served) -> None:
        self.past, self.plan, self.learner = past, plan, learner
        self.static = self.served = self.anchor = first
        self.served_from = plan.first
        rules, self.left_out = lenient(past, first, plan.judging.rules)
        self.judging = Judging(rules, plan.judging.recent_days)
        self.watch = Watch(plan.rules.rule, plan.rules.rate, plan.margin, plan.gathering)
        self.steps: list[Step] = []
        self.retrains: list[Retrain] = []
        self.looks: tuple[Look, ...] = ()
        self.waiting: tuple[Served, int, int] | None = None  # candidate, rows wanted, its retrain
        self.measured = plan.first
        self.refusal = ""  # of the trigger, as last told

    def step(self, place: int) -> None:
        """Live through one window."""
        window, served = self.plan.windows[place], self.served
        now_s = float(self.past.observed_s[window.stop - 1])
        self._measure(place, now_s - self.plan.delay_s)
        verdict = self._verdict(window)
        events = [self.watch.judge(place, verdict)]
        open_one = self.watch.held
        worth = self._worth(place, verdict.breaks[:1], now_s) if open_one else None
        if worth is not None:
            self.watch.look(place, worth)
        events += self._again(place, now_s)
        if worth is not None and self.served is served:
            events += self._trigger(place, worth, now_s)
        self.steps.append(self._told(place, served, verdict, [e for e in events if e]))

    def _verdict(self, window: slice) -> Verdict:
        """Judge a window as `monitor` does; broken data is not judged for drift."""
        past, served = self.past, self.served
        features = past.features[window]
        times = past.observed_s[window]
        earlier = [Span(s.start_s, s.end_s) for s in self.steps[-SPANS:]]
        found = breaks(
            features, past.schema, served.usual, unsound=0,
            arrivals=Arrivals(
                0, past.key[window].astype(str).tolist(),
                Span(float(times[0]), float(times[-1])), earlier,
            ),
        )  # fmt: skip
        if found:
            return Verdict(len(features), (), found, served.thresholds.calibrated)
        rows = served.see(features, served.answers[window], past.schema)
        values = statistics(served.reference, rows)
        return judge(served.thresholds, values, np.zeros_like(values), len(rows), rows.named)

    def _measure(self, place: int, until_s: float) -> None:
        """Take in windows of the version in service whose labels have all come."""
        served = self.served
        while self.measured <= place:
            window = self.plan.windows[self.measured]
            if self.past.observed_s[window.stop - 1] > until_s:
                return
            rows = mature(self.past, window, until_s)
            if served.accuracy is not None and served.least_accuracy is not None and len(rows):
                least = served.least_accuracy - self.plan.margin
                right = int(served.hit[rows].sum())
                self.watch.measure(self.measured, right, len(rows), (served.accuracy, least))
            self.measured += 1

    def _worth(self, place: int, broken: tuple[str, ...], now_s: float) -> Triage | None:
        """Triage the open incident on its newest windows that hold as many labels as are wanted."""
        held, plan, served = self.watch.held, self.plan, self.served
        if held is None:
            return None
        wanted = plan.min_labels
        if served.accuracy is not None:
            wanted = max(wanted, labels_needed(served.accuracy, plan.margin))
        rows: list[NDArray[np.int64]] = []
        for at in range(place, max(held.since, self.served_from) - 1, -1):
            rows.append(mature(self.past, plan.windows[at], now_s - plan.delay_s))
            if sum(map(len, rows)) >= wanted:
                break
        index = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        seen = Accuracy(int(served.hit[index].sum()), len(index), served.accuracy)
        return triage(
            breaks=broken, accuracy=seen, margin=plan.margin,
            min_labels=plan.min_labels,
        )  # fmt: skip

    def _trigger(self, place: int, worth: Triage, now_s: float) -> list[str]:
        """Let the trigger answer; if it grants, retrain and judge."""
        past, plan = self.past, self.plan
        since = plan.windows[self.watch.held.since].start if self.watch.held else len(past)
        loop = loop_at(past, self.retrains, since, now_s, plan.delay_s)
        stop = int(np.searchsorted(past.observed_s, now_s - plan.delay_s, "right"))
        start = max(since, plan.windows[min(self.served_from, place)].start)
        rows = (past, slice(start, max(stop, start)))
        answer = trigger(plan, worth.kind, loop, self.served, rows)
        told, self.refusal = self.refusal, "" if answer.requested else answer.why
        if not answer.requested:
            new = worth.kind == "costly" and answer.why != told
            return [f"no retrain: {answer.reason}"] if new else []
        span = self._span(place, now_s - self.plan.delay_s)
        number = len(self.retrains) + 2
        try:
            made = install(
                self.past, span, self.learner, (self.plan.dealing, self.plan.rules), number
            )
        except ValueError as error:
            self.retrains.append(
                Retrain(number, place, now_s, len(span), 0.0, "failed", str(error))
            )
            return ["retrain failed"]
        self.retrains.append(
            Retrain(number, place, now_s, made.rows, made.learnt.minutes, "inconclusive", "")
        )
        return ["retrained", *self._judge(made, len(self.retrains) - 1, place, now_s)]

    def _judge(self, made: Served, at: int, place: int, now_s: float) -> list[str]:
        """Let the gate decide about a candidate; a promoted one serves from the next window on."""
        trio = (made, self.served, self.anchor)
        done = compare(
            self.past, trio, self.judging, self.looks, (now_s, now_s - self.plan.delay_s)
        )
        verdict, self.waiting = done.verdict, None
        self.looks = (*self.looks, *([done.look] if done.look else []))
        promoted = place if verdict.outcome == "promote" else None
        self.retrains[at] = self.retrains[at].judged(verdict, promoted)
        if verdict.outcome == "inconclusive":
            self.waiting = (made, done.rows + max(verdict.missing_labels, 1), at)
        elif promoted is not None:
            if (verdict.evidence.lower or 0.0) > 0.0:
                self.anchor = made
            self.served, self.served_from, self.measured = made, place + 1, place + 1
            self.watch.renew(place + 1)
        return [{"promote": "promoted", "reject": "refused"}.get(verdict.outcome, "inconclusive")]

    def _again(self, place: int, now_s: float) -> list[str]:
        """Judge a candidate again once the labels have come that its last verdict asked for."""
        if self.waiting is None:
            return []
        made, wanted, at = self.waiting
        past, until_s = self.past, now_s - self.plan.delay_s
        later = past.measures & (past.side == "test") & (past.observed_s <= until_s)
        later &= past.observed_s > (made.memory.trained_until_s or -math.inf)
        return self._judge(made, at, place, now_s) if int(later.sum()) >= wanted else []

    def _span(self, place: int, until_s: float) -> NDArray[np.int64]:
        """Return the rows that a retrain may learn from, before the training window thins them."""
        plan, past = self.plan, self.past
        first = 0
        if plan.since_loss:
            first = min(began(self.watch.told, plan.margin) if self.watch.told else place, place)
        known = past.labelled & (past.observed_s <= until_s)
        stop = plan.windows[place].stop
        while first and known[plan.windows[first].start : stop].sum() < plan.policy.min_new_labels:
            first -= 1
        rows = np.arange(plan.windows[first].start, stop)
        return rows[past.observed_s[rows] <= until_s]

    def _told(self, place: int, served: Served, verdict: Verdict, events: list[str]) -> Step:
        window, past = self.plan.windows[place], self.past
        rows = mature(past, window, math.inf)
        drifted = verdict.drifted[0].column if verdict.drifted else ""
        held = self.watch.held or (self.watch.done[-1] if "closed" in events else None)
        return Step(
            start_s=float(past.observed_s[window.start]),
            end_s=float(past.observed_s[window.stop - 1]), rows=window.stop - window.start,
            version=served.number, labelled=len(rows), right=int(served.hit[rows].sum()),
            right_static=int(self.static.hit[rows].sum()), drifted=drifted,
            incident=held.number if held else 0, worth=held.worth if held else "",
            events=tuple(events),
        )  # fmt: skip
