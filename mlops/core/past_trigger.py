"""The trigger in a backtest: what it knows of the walk, and the probe that may refuse a retrain.

The probe is that of a version without an embedding: a head on the watched columns and the model's
own answers. The stand-in has no layer to look into, and the project's network is probed likewise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.head import HOW, LEAST, ROWS, Sample, beside_answers, gain, most_rows
from mlops.core.quality import sound
from mlops.core.trigger import Answer, Loop, decide
from mlops.core.worth import Worth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlops.core.backtest_report import Retrain
    from mlops.core.past import Past
    from mlops.core.past_plan import Plan
    from mlops.core.past_service import Served
    from mlops.core.past_watch import Watch
    from mlops.core.triage import Kind
    from mlops.core.trigger import Cause

_MONTH_S = 30 * 86_400.0


def loop_at(
    past: Past, retrains: Sequence[Retrain], since: int, now_s: float, delay_s: float
) -> Loop:
    """Return what the trigger knows at a time.

    Args:
        past: all of history.
        retrains: those before it, oldest first.
        since: row from which new labels count.
        now_s: seconds since 1970.
        delay_s: how long labels take.
    """
    last_s = retrains[-1].at_s if retrains else -math.inf
    recent = [r for r in retrains if r.at_s > now_s - _MONTH_S]
    came_s = past.observed_s[since:] + delay_s
    fresh = past.labelled[since:] & (came_s > last_s) & (came_s <= now_s)
    return Loop(
        new_labels=int(fresh.sum()), in_flight=None, minutes_since=(now_s - last_s) / 60,
        in_30_days=len(recent), minutes_30_days=sum(r.minutes for r in recent),
        typical_minutes=retrains[-1].minutes if retrains else 0.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Asking:
    """What asks for a retrain at the end of a window.

    Attributes:
        cause: in a word.
        worth: of the incident; of a cause without one `costly`, or `quality` while data is broken.
        since: row from which new labels count.
    """

    cause: Cause
    worth: Kind
    since: int

    @property
    def unprompted(self) -> bool:
        """Whether no incident stands behind it."""
        return self.cause in ("labels", "schedule")


def asking(plan: Plan, watch: Watch, place: int, worth: Kind | None) -> Iterator[Asking]:
    """Yield what asks, in the order of `monitor`: the incident, new labels, and then the clock.

    Args:
        plan: with the trigger's policy and its schedule.
        watch: incidents that are open.
        place: of the window that has ended.
        worth: of the drift incident of the version in service; None without one.
    """
    if watch.drift is not None and worth is not None:
        cause: Cause = "performance" if watch.drift.detector == "accuracy" else "drift"
        yield Asking(cause, worth, plan.windows[watch.drift.since].start)
    calm: Kind = "costly" if watch.quality is None else "quality"
    served_at = plan.windows[plan.first].start  # what was labelled before, the first model knows
    if plan.policy.on_new_labels is not None and watch.drift is None:
        yield Asking("labels", calm, served_at)
    if place in plan.scheduled:
        yield Asking("schedule", calm, served_at)


def answer(
    plan: Plan, asked: Asking, loop: Loop, served: Served, rows: tuple[Past, slice]
) -> Answer:
    """Let the trigger answer; where it would grant and a probe decides, with one.

    Args:
        plan: with the trigger's policy, whose `min_gain` is set where a probe decides.
        asked: what asks.
        loop: what is so now.
        served: the version in service.
        rows: history, and those that it answered whose labels are here.
    """
    found = decide(plan.policy, asked.worth, loop, asked.cause)
    if not found.requested or plan.policy.min_gain is None:
        return found
    told = probe(served, *rows, older=asked.unprompted or not plan.since_loss)
    return decide(plan.policy, asked.worth, replace(loop, worth=told), asked.cause)


def probe(served: Served, past: Past, span: slice, *, older: bool) -> Worth:
    """Return what refitting a head on newly labelled rows would gain, as `monitor` estimates it.

    As there, rows of the test side are not looked at, rows chosen for being hard measure nothing,
    and what the model was fitted on is only fitted on once more.

    Args:
        served: the version in service.
        past: all of history.
        span: rows that it answered whose labels are here, of which the newest are taken.
        older: whether a retrain learns from the rows before, too: then the head does.
    """
    regression = not past.schema.classes
    known = past.labelled & (past.side != "test") & sound(served.answers, regression=regression)
    seen = np.isin(past.key, served.memory.seen if served.memory.seen is not None else [])
    new = np.flatnonzero(known[span] & ~seen[span])[::-1] + span.start
    before = np.flatnonzero(known[: span.start] & seen[: span.start] & older)
    width = beside_answers(past.features[:1], served.answers[:1], past.schema).shape[1]
    new = new[: min(ROWS, most_rows(width, served.answers.shape[1]) // 2)]
    measuring = int((~past.active[new]).sum())
    if measuring < LEAST:
        return Worth(trouble=f"{measuring} labelled rows may train and measure, {LEAST} are needed")
    some = np.random.default_rng(HOW["seed"]).permutation(before)[: len(new)]
    rest = _sample(served, past, some, scored=False)
    bounds = gain(_sample(served, past, new, scored=True), rest, regression=regression, **HOW)
    if not np.isfinite([bounds.estimate, bounds.lower, bounds.upper]).all():
        return Worth(trouble="the gain on new rows is no finite number")
    return Worth(
        bounds.estimate, bounds.lower, bounds.upper, rows=measuring, older=len(rest),
        regression=regression, on="a head on the watched columns",
    )  # fmt: skip


def _sample(served: Served, past: Past, index: NDArray[np.int64], *, scored: bool) -> Sample:
    answers = served.answers[index]
    return Sample(
        beside_answers(past.features[index], answers, past.schema), answers, past.label[index],
        past.key[index], ~past.active[index] & scored,
    )  # fmt: skip
