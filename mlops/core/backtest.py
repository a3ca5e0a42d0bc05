"""The loop over history: what it would have done, by the functions that do it in production.

Window by window: drift against the reference of the version in service, the alarm's rule, triage on
the labels that had come, the trigger, a retrain, the gate, promotion; beside it the first model,
left alone. Which rows a retrain learns from is `_span`, and nothing else knows: a policy of
training windows takes its place there.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.accuracy_loss import Promise
from mlops.core.backtest_report import Backtest, Retrain, Step
from mlops.core.complete_rule import CompleteRule
from mlops.core.past import mature
from mlops.core.past_gate import Judging, compare, lenient
from mlops.core.past_loss import Measured
from mlops.core.past_service import install, judge_window
from mlops.core.past_trigger import answer as trigger
from mlops.core.past_trigger import asking, loop_at
from mlops.core.past_watch import Watch
from mlops.core.power import labels_needed
from mlops.core.triage import Accuracy, triage
from mlops.core.volume import SPANS, Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.alarm import Verdict
    from mlops.core.exam import Look
    from mlops.core.past import Past
    from mlops.core.past_plan import Plan
    from mlops.core.past_service import Learner, Served
    from mlops.core.past_trigger import Asking
    from mlops.core.past_watch import Episode
    from mlops.core.triage import Triage
    from mlops.core.trigger import Cause


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
        self.watch = Watch(
            CompleteRule(plan.rules.rule, plan.gathering),
            Measured(_promise(first, plan), plan.rules.rate),
        )
        self.steps: list[Step] = []
        self.retrains: list[Retrain] = []
        self.looks: tuple[Look, ...] = ()
        self.waiting: tuple[Served, int, int] | None = None  # candidate, rows wanted, its retrain
        self.measured = plan.first
        self.now_s = self.until_s = -math.inf  # labels of rows until then are here now
        self.refusals: dict[Cause, str] = {}  # why the trigger refused each cause, as last told

    def step(self, place: int) -> None:
        """Live through one window."""
        window, served = self.plan.windows[place], self.served
        self.until_s = self.plan.known_until_s(self.past.observed_s, place)
        self.now_s = self.until_s + self.plan.delay_s
        earlier = [Span(s.start_s, s.end_s) for s in self.steps[-SPANS:]]
        verdict = judge_window(self.past, served, window, earlier)
        events = self.watch.judge(place, verdict)
        self._measure(place)
        events += self.watch.hear(place)
        worth = self._worth(place)
        if worth is not None:
            self.watch.look(place, worth)
        held = self.watch.quality or self.watch.drift
        events += self._again(place)
        if self.served is served:
            events += self._trigger(place, worth)
        self.steps.append(self._told(place, served, verdict, (held, events)))

    def _measure(self, place: int) -> None:
        """Take in windows of the version in service whose labels have all come."""
        served = self.served
        while self.measured <= place:
            window = self.plan.windows[self.measured]
            if self.past.observed_s[window.stop - 1] > self.until_s:
                return
            rows = mature(self.past, window, self.until_s)
            if len(rows):
                self.watch.measure(self.measured, int(served.hit[rows].sum()), len(rows))
            self.measured += 1

    def _worth(self, place: int) -> Triage | None:
        """Triage the drift incident on its newest windows that hold as many labels as are wanted.

        One of a version that was replaced is left alone, as `monitor` does.
        """
        held, plan, served = self.watch.drift, self.plan, self.served
        if held is None or self.watch.inherited:
            return None
        wanted = plan.min_labels
        if served.accuracy is not None:
            wanted = max(wanted, labels_needed(served.accuracy, plan.margin))
        rows: list[NDArray[np.int64]] = []
        for at in range(place, max(held.since, self.served_from) - 1, -1):
            rows.append(mature(self.past, plan.windows[at], self.until_s))
            if sum(map(len, rows)) >= wanted:
                break
        index = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        seen = Accuracy(int(served.hit[index].sum()), len(index), served.accuracy)
        broken = self.watch.quality
        return triage(
            breaks=(broken.cause,) if broken else (), accuracy=seen, margin=plan.margin,
            min_labels=plan.min_labels,
        )  # fmt: skip

    def _trigger(self, place: int, worth: Triage | None) -> list[str]:
        """Let the trigger answer each cause; the first that it grants is a retrain, and judged."""
        past, plan = self.past, self.plan
        told: list[str] = []
        for asked in asking(plan, self.watch, place, worth.kind if worth else None):
            loop = loop_at(past, self.retrains, asked.since, self.now_s, plan.delay_s)
            stop = int(np.searchsorted(past.observed_s, self.until_s, "right"))
            start = max(asked.since, plan.windows[min(self.served_from, place)].start)
            rows = (past, slice(start, max(stop, start)))
            answer = trigger(plan, asked, loop, self.served, rows)
            before = self.refusals.get(asked.cause)
            self.refusals[asked.cause] = "" if answer.requested else answer.why
            if answer.requested:
                return [*told, *self._retrain(place, asked)]
            waits = asked.cause == "labels" and answer.why == "labels"  # it is not the time yet
            heard = asked.unprompted or asked.worth == "costly"
            if heard and answer.why != before and not waits:
                whose = f" for {asked.cause}" if asked.unprompted else ""
                told.append(f"no retrain{whose}: {answer.reason}")
        return told

    def _retrain(self, place: int, asked: Asking) -> list[str]:
        """Fit a model, and let the gate judge it."""
        span = self._span(place, asked)
        number = len(self.retrains) + 2
        made = Retrain(number, place, self.now_s, len(span), 0.0, "failed", "", cause=asked.cause)
        how = (self.plan.dealing, self.plan.rules)
        try:
            found = install(self.past, span, self.learner, how, number)
        except ValueError as error:
            self.retrains.append(replace(made, words=str(error)))
            return [f"retrain for {asked.cause} failed"]
        self.retrains.append(
            replace(made, rows=found.rows, minutes=found.learnt.minutes, outcome="inconclusive")
        )
        judged = self._judge(found, len(self.retrains) - 1, place)
        return [f"retrained for {asked.cause}", *judged]

    def _judge(self, made: Served, at: int, place: int) -> list[str]:
        """Let the gate decide about a candidate; a promoted one serves from the next window on."""
        trio = (made, self.served, self.anchor)
        done = compare(self.past, trio, self.judging, self.looks, (self.now_s, self.until_s))
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
            self.watch.renew(_promise(made, self.plan))
        return [{"promote": "promoted", "reject": "refused"}.get(verdict.outcome, "inconclusive")]

    def _again(self, place: int) -> list[str]:
        """Judge a candidate again once the labels have come that its last verdict asked for."""
        if self.waiting is None:
            return []
        made, wanted, at = self.waiting
        past = self.past
        later = past.measures & (past.side == "test") & (past.observed_s <= self.until_s)
        later &= past.observed_s > (made.memory.trained_until_s or -math.inf)
        return self._judge(made, at, place) if int(later.sum()) >= wanted else []

    def _span(self, place: int, asked: Asking) -> NDArray[np.int64]:
        """Return the rows that a retrain may learn from, before the training window thins them."""
        plan, past = self.plan, self.past
        first = 0
        if plan.since_loss and not asked.unprompted:
            began = self.watch.labels.began()
            first = place if began is None else min(began, place)
        known = past.labelled & (past.observed_s <= self.until_s)
        stop = plan.windows[place].stop
        while first and known[plan.windows[first].start : stop].sum() < plan.policy.min_new_labels:
            first -= 1
        rows = np.arange(plan.windows[first].start, stop)
        return rows[past.observed_s[rows] <= self.until_s]

    def _told(
        self, place: int, served: Served, verdict: Verdict, said: tuple[Episode | None, list[str]]
    ) -> Step:
        window, past = self.plan.windows[place], self.past
        rows = mature(past, window, math.inf)
        drifted = verdict.drifted[0].column if verdict.drifted else ""
        closed = [one for one in self.watch.episodes if one.closed == place]
        held = said[0] or (closed[-1] if closed else None)
        return Step(
            start_s=float(past.observed_s[window.start]),
            end_s=float(past.observed_s[window.stop - 1]), rows=window.stop - window.start,
            version=served.number, labelled=len(rows), right=int(served.hit[rows].sum()),
            right_static=int(self.static.hit[rows].sum()), drifted=drifted,
            incident=held.number if held else 0, worth=held.worth if held else "",
            events=tuple(said[1]),
        )  # fmt: skip


def _promise(served: Served, plan: Plan) -> Promise | None:
    """Return what a version showed on its reference; None if that has too few labels."""
    if served.accuracy is None:
        return None
    return Promise(served.accuracy, served.labels, plan.margin, plan.min_labels)
