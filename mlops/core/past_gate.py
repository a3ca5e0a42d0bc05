"""The gate in a backtest: candidate and model in service on the rows of history that may judge.

The same `judge` as `promote` asks. What needs a real server (latency, memory, size) is not judged,
and limits that the first model itself misses are not asked of those after it: both are said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.core import limits
from mlops.core.disturbance import disturb_mix
from mlops.core.exam import Anchor, Cohort, Exam, Look, Paired, Trial, counting, since_s
from mlops.core.gate import judge
from mlops.core.reliability import debiased_ece
from mlops.core.schema import categories, task
from mlops.core.slices import properties

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.decision import Verdict
    from mlops.core.past import Past
    from mlops.core.past_service import Served
    from mlops.core.rules import Rules

_DAY_S = 86_400.0
_CORRUPTED_ROWS, _SEVERITY = 300, 3  # as `promote` does
_SERVER = ("latency_ms", "memory_mb", "size_mb")
_NOT_TRIED = Trial(0.0, 0.0, 0.0, 0.0)
_BINS = 10


@dataclass(frozen=True)
class Judging:
    """What the gate is asked by.

    Attributes:
        rules: of the gate.
        recent_days: how old a recent row may be.
    """

    rules: Rules
    recent_days: float


@dataclass(frozen=True)
class Judged:
    """A verdict.

    Attributes:
        verdict: of the gate.
        rows: recent rows that counted.
        look: what later verdicts must know of it; None where no row was looked at.
    """

    verdict: Verdict
    rows: int
    look: Look | None


def lenient(past: Past, first: Served, rules: Rules) -> tuple[Rules, tuple[str, ...]]:
    """Leave out what a backtest cannot measure, and limits that the first model itself misses.

    Returns:
        The rules, and a sentence for each limit of the first model's that was left out.
    """
    told: list[str] = []
    label, said = past.label[first.base], first.answers[first.base]
    floors = []
    for name, limit in rules.floors:
        measure = limits.FLOORS[task(past.schema)].get(name)
        value = None if measure is None else measure(label, said)
        if value is not None and value < limit:
            told.append(
                f"gate.floors.{name} = {limit:g}: the first model has {value:.3f}, so it is asked "
                "of no candidate here; say how good is good enough for your data"
            )
        else:
            floors.append((name, limit))
    ceilings = []
    for name, limit in rules.ceilings:
        value = debiased_ece(label, said, _BINS) if name == "ece" and past.schema.classes else None
        if value is not None and value > limit:
            told.append(
                f"gate.ceilings.ece = {limit:g}: the first model has {value:.3f}, so it is asked "
                "of no candidate here"
            )
        elif name not in _SERVER:
            ceilings.append((name, limit))
    return replace(rules, floors=tuple(floors), ceilings=tuple(ceilings)), tuple(told)


def compare(
    past: Past, served: tuple[Served, Served, Served], judging: Judging, looks: tuple[Look, ...],
    times: tuple[float, float],
) -> Judged:  # fmt: skip
    """Judge a candidate against the model in service.

    Args:
        past: all of history.
        served: the candidate, the model in service, and the anchor.
        judging: rules.
        looks: earlier verdicts.
        times: now, and until when labels are here; seconds since 1970.
    """
    candidate, champion, anchor = served
    now_s, until_s = times
    since = now_s - judging.recent_days * _DAY_S
    timely = (past.observed_s >= since) & (past.observed_s <= until_s)
    recent = np.flatnonzero(timely & past.measures & (past.side == "test"))
    fixed = None
    if judging.rules.margin > 0.0 and anchor.number not in (candidate.number, champion.number):
        fixed = Anchor(str(anchor.number), anchor.memory)
    names, _ = looks_of(past, recent[:1])
    known = categories(past.schema)
    exam = Exam(
        classes=past.schema.classes,
        recent=_paired(past, recent, candidate, champion, anchor if fixed else None),
        base=_paired(past, candidate.base, candidate, champion, None),
        corrupted=_corrupted(past, candidate, champion),
        candidate=candidate.memory, champion=champion.memory, trial=_NOT_TRIED, anchor=fixed,
        looks=looks, columns=names, categories=tuple(known.get(name, ()) for name in names),
    )  # fmt: skip
    after_s = max(since_s(exam.memories, looks, judging.rules.gap_s), since)
    cohort = past.sampled & (past.observed_s > after_s) & (past.observed_s <= until_s)
    counted = Cohort(int(cohort.sum()), int((cohort & past.measures).sum()), until_s)
    exam = replace(exam, cohort=counted)
    counts, _ = counting(exam, judging.rules)
    verdict = judge(exam, judging.rules)
    seen = verdict.evidence
    look = None
    if seen.recent_since_s is not None and seen.recent_until_s is not None:
        promoted = verdict.outcome == "promote"
        look = Look(seen.recent_since_s, seen.recent_until_s, promoted)
    return Judged(verdict, int(counts.sum()), look)


def looks_of(past: Past, index: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return what rows look like: names, and float64 (N, C)."""
    return properties(past.features[index], past.schema)


def _paired(
    past: Past, index: NDArray[np.int64], candidate: Served, champion: Served, anchor: Served | None
) -> Paired:
    return Paired(
        past.label[index], candidate.answers[index], champion.answers[index], past.key[index],
        past.observed_s[index], anchor.answers[index] if anchor else None,
        looks_of(past, index)[1],
    )  # fmt: skip


def _corrupted(past: Past, candidate: Served, champion: Served) -> Paired:
    order = np.argsort(past.key[candidate.base], kind="stable")[:_CORRUPTED_ROWS]
    index = candidate.base[order]
    rng = np.random.default_rng(0)
    changed = disturb_mix(past.features[index], past.schema, _SEVERITY, rng)
    return Paired(
        past.label[index], candidate.learnt.answers(changed), champion.learnt.answers(changed),
        past.key[index], past.observed_s[index],
    )  # fmt: skip
