"""The gate: whether a candidate may replace the champion. Pure: frozen in, frozen out.

With Δ = accuracy of the candidate minus that of the champion, on recent labelled production rows
that no model compared was fitted on, δ the declared margin and α the level of this look:

- `reject` if evidence is missing, if harm is shown, or if the upper bound of Δ is at most -δ;
- `promote` if the lower bound of Δ exceeds -δ and every guardrail passes;
- `inconclusive` otherwise, saying how many more labels would settle it.

The null hypothesis is the margin's boundary, each bound is one-sided, and all parts must pass at
once, so that one look promotes a candidate at the boundary with probability α at most, as far as
the bounds keep their nominal level (intersection-union: R. L. Berger, J. C. Hsu 1996, Statistical
Science 11). Looks are paid for: the i-th verdict on overlapping recent rows has α / (i (i+1)),
whichever candidate it judges, and a promotion retires the rows that it looked at (`mlops.core.
rules.level`). Guardrails on the base rows, which no promotion retires, have the full α each: alone
they promote nothing. For δ = 0 McNemar's mid-p test (McNemar 1947; Fagerland et al. 2013) must
agree with Tango's interval (1998).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from mlops.core import limits
from mlops.core.bounds import dependent
from mlops.core.decision import Check, Evidence, Metric, Outcome, Verdict
from mlops.core.exam import counting, look_number, unseen
from mlops.core.faults import find_faults
from mlops.core.harm import slice_harm
from mlops.core.noninferiority import NAMED, non_inferior
from mlops.core.primary import drift_from_anchor, primary
from mlops.core.rules import level
from mlops.core.wanted import Levels

if TYPE_CHECKING:
    from mlops.core.exam import Exam, Paired
    from mlops.core.rules import Rules

    Part = TypeVar("Part", Check, Metric, Evidence)
    Findings = tuple[tuple[Check, ...], tuple[Metric, ...]]


def judge(exam: Exam, rules: Rules) -> Verdict:
    """Judge a candidate; anything missing or damaged refuses it."""
    faults = find_faults(exam, rules)
    if faults:
        return _refuse(exam, faults)
    recent_N, base_N = counting(exam, rules)
    recent, base = exam.recent.take(recent_N), exam.base.take(base_N)
    recent = replace(recent, key=dependent(recent.key, recent.observed_s, rules.block_s))
    evidence = _evidence(exam, rules, recent, base)
    if len(base.label) == 0:
        return _refuse(exam, ("every base test row was seen in training by one of the models",))
    if exam.champion is None:
        return _first(exam, base, evidence, rules)
    return _compare(exam, recent, base, evidence, rules)


def _evidence(exam: Exam, rules: Rules, recent: Paired, base: Paired) -> Evidence:
    look = look_number(recent.observed_s, exam.looks)
    cohort = exam.cohort
    return Evidence(
        recent_rows=len(recent.label),
        recent_excluded=len(exam.recent.label) - len(recent.label),
        base_rows=len(base.label),
        base_excluded=len(exam.base.label) - len(base.label),
        look=look,
        level=level(rules.alpha, look),
        coverage=cohort.labelled / cohort.predictions if cohort and cohort.predictions else None,
        anchor=exam.anchor.version if exam.anchor else None,
    )


def _first(exam: Exam, base: Paired, evidence: Evidence, rules: Rules) -> Verdict:
    """Judge a first model, with no champion to beat: floors, constant predictor, ceilings."""
    checks, metrics = limits.floors(exam, base, rules)
    fair = limits.fairness(exam, base, rules, _base_levels(rules))
    all_checks = (*checks, limits.constant("base", base), *limits.ceilings(exam, base, rules))
    return _conclude((*all_checks, *fair), metrics, evidence, missing=0)


def _compare(exam: Exam, recent: Paired, base: Paired, evidence: Evidence, rules: Rules) -> Verdict:
    on_base = _on_base(exam, base, rules)
    if len(recent.label) < rules.min_rows:
        missing = rules.min_rows - len(recent.label)
        checks = (_too_few(evidence, rules), *on_base[0])
        return _conclude(checks, on_base[1], evidence, missing)
    main, metric, evidence = primary(recent, evidence, rules, regression=exam.regression)
    again = level(rules.alpha, evidence.look + 1)
    others = _on_recent(exam, recent, rules, Levels(evidence.level, again, rules.power))
    first, rest = (main, _coverage(exam, rules)), (*others[0], *on_base[0])
    checks = (*first, *rest)
    # What guardrails want is read from a difference seen: it counts once the primary is shown.
    asked = checks if main.passed else first
    missing = max((c.labels or 0 for c in asked if c.passed is None), default=0)
    return _conclude(checks, (metric, *others[1], *on_base[1]), evidence, missing)


def _on_recent(exam: Exam, recent: Paired, rules: Rules, levels: Levels) -> Findings:
    """Everything but the primary metric that recent rows decide."""
    anchor_checks, anchor_metrics = drift_from_anchor(exam, recent, rules, levels)
    checks, metrics = [*anchor_checks], [*anchor_metrics]
    for name, margin in rules.non_inferiority:
        if name in NAMED and (NAMED[name].part, NAMED[name].task) == ("recent", exam.task):
            check, figures = non_inferior(name, margin, recent, rules, levels)
            checks.append(check)
            metrics += figures
    checks += [limits.constant("recent", recent), *limits.recent_floor(exam, recent, rules)]
    checks += [*slice_harm(exam, recent, rules), *limits.fairness(exam, recent, rules, levels)]
    return tuple(checks), tuple(metrics)


def _on_base(exam: Exam, base: Paired, rules: Rules) -> Findings:
    """Guardrails on base rows, plain and corrupted, and the candidate's absolute limits."""
    checks: list[Check] = []
    metrics: list[Metric] = []
    corrupted = exam.corrupted
    if corrupted is not None:
        corrupted = corrupted.take(unseen(corrupted.key, exam.memories))
    rows = {"base": base, "corrupted": corrupted}
    for name, margin in rules.non_inferiority:
        if name not in NAMED:
            words = f"gate.non_inferiority.{name} is no known metric; known: {', '.join(NAMED)}"
            checks.append(Check(name, passed=False, value=None, limit=margin, words=words))
        elif NAMED[name].part in rows and NAMED[name].task == exam.task:
            on = rows[NAMED[name].part]
            if on is None or len(on.label) == 0:
                words = f"gate.non_inferiority.{name}: its rows were not scored"
                checks.append(Check(name, passed=False, value=None, limit=margin, words=words))
                continue
            check, figures = non_inferior(name, margin, on, rules, _base_levels(rules))
            checks.append(check)
            metrics += figures
    floor_checks, floor_metrics = limits.floors(exam, base, rules)
    checks += [*floor_checks, limits.constant("base", base), *limits.ceilings(exam, base, rules)]
    return tuple(checks), (*metrics, *floor_metrics)


def _base_levels(rules: Rules) -> Levels:
    """Return the level of bounds on base rows, which no label makes more."""
    return Levels(rules.alpha, None, rules.power)


def _coverage(exam: Exam, rules: Rules) -> Check:
    """Ask whether the rows stand for their cohort: labels that came for some only may mislead."""
    cohort, limit = exam.cohort, rules.min_coverage
    if cohort is None or cohort.predictions == 0:
        words = "the predictions that the recent rows stand for could not be counted"
        return Check("coverage", None, None, limit, words)
    value = min(cohort.labelled / cohort.predictions, 1.0)
    words = (
        f"labels have come for {cohort.labelled} of the {cohort.predictions} predictions chosen "
        f"at random that should have theirs by now ({100 * value:.1f} %); "
        f"{100 * limit:.0f} % asked for"
    )
    lacking = max(math.ceil(limit * cohort.predictions) - cohort.labelled, 0)
    return Check("coverage", True if value >= limit else None, value, limit, words, lacking)


def _too_few(evidence: Evidence, rules: Rules) -> Check:
    left_out = (
        f" ({evidence.recent_excluded} more were left out: a model has seen them, they are not "
        "later than its training, an earlier promotion has spent them, or labels of their time "
        "may still come)"
        if evidence.recent_excluded
        else ""
    )
    words = (
        f"{evidence.recent_rows} recent labelled rows{left_out}; gate.min_rows asks for "
        f"{rules.min_rows}: {rules.min_rows - evidence.recent_rows} are missing"
    )
    held, asked = float(evidence.recent_rows), float(rules.min_rows)
    return Check("recent rows", None, held, asked, words, rules.min_rows - evidence.recent_rows)


def _conclude(
    checks: tuple[Check, ...], metrics: tuple[Metric, ...], evidence: Evidence, missing: int
) -> Verdict:
    failed = tuple(c.words for c in checks if c.passed is False)
    unsettled = tuple(c.words for c in checks if c.passed is None)
    outcome: Outcome = "reject" if failed else ("inconclusive" if unsettled else "promote")
    reasons = failed or unsettled or tuple(c.words for c in checks[:1])
    held = missing if outcome == "inconclusive" else 0
    known = (_bounded(m) for m in metrics if math.isfinite(m.candidate))
    return Verdict(
        outcome, reasons, tuple(map(_bounded, checks)), tuple(known), _bounded(evidence), held
    )


def _bounded(part: Part) -> Part:
    """Return a part of the verdict with nothing where rows bound nothing: no record holds ∞."""
    odd = [n for n, v in vars(part).items() if isinstance(v, float) and not math.isfinite(v)]
    nothing: dict[str, Any] = dict.fromkeys(odd)
    return replace(part, **nothing)


def _refuse(exam: Exam, faults: tuple[str, ...]) -> Verdict:
    checks = tuple(_missing(f) for f in faults)
    evidence = Evidence(len(exam.recent.label), 0, len(exam.base.label), 0)
    return Verdict("reject", tuple(c.words for c in checks), checks, (), evidence, 0)


def _missing(fault: str) -> Check:
    words = f"evidence missing: {fault}"
    return Check("evidence", passed=False, value=None, limit=None, words=words)
