"""The gate: whether a candidate may replace the champion. Pure: frozen in, frozen out.

With Δ = accuracy of the candidate minus that of the champion, on recent labelled production rows
that neither was fitted on, and δ the declared margin:

- `reject` if evidence is missing, if harm is shown, or if the upper bound of Δ is at most -δ;
- `promote` if the lower bound of Δ exceeds -δ and every guardrail passes;
- `inconclusive` otherwise, saying how many more labels would settle it.

The null hypothesis is the margin's boundary, each bound is one-sided at level alpha, and all
parts must pass at once, so that one look at the rows promotes a candidate at the boundary with
probability alpha at most, as far as the bounds keep their nominal level (intersection-union: R. L.
Berger, J. C. Hsu 1996, Statistical Science 11). Further looks are not paid for: each judgement of
the same candidate, after new labels or with `--again`, and each further candidate judged on the
same rows has its own chance of alpha. For δ = 0 McNemar's mid-p test (McNemar 1947; Fagerland et
al. 2013) must agree with Tango's interval (1998).
"""

from __future__ import annotations

import math
from dataclasses import replace

from mlops.core import guardrails
from mlops.core.decision import Check, Evidence, Metric, Outcome, Verdict
from mlops.core.exam import Exam, Paired, Rules, counting, find_faults
from mlops.core.guardrails import points, right
from mlops.core.paired import accuracy_bounds, count, labels_needed, mcnemar_p, one_per_key


def judge(exam: Exam, rules: Rules) -> Verdict:
    """Judge a candidate; anything missing or damaged refuses it."""
    faults = find_faults(exam, rules)
    if faults:
        return _refuse(exam, faults)
    recent_N, base_N = counting(exam, rules)
    recent, base = exam.recent.take(recent_N), exam.base.take(base_N)
    evidence = Evidence(
        recent_rows=len(recent.label),
        recent_excluded=int((~recent_N).sum()),
        base_rows=len(base.label),
        base_excluded=int((~base_N).sum()),
    )
    if len(base.label) == 0:
        return _refuse(exam, ("every base test row was seen in training by one of the two",))
    if exam.champion is None:
        return _first(exam, base, evidence, rules)
    return _compare(exam, recent, base, evidence, rules)


def _first(exam: Exam, base: Paired, evidence: Evidence, rules: Rules) -> Verdict:
    """Judge a first model, with no champion to beat: floors, constant predictor, latency."""
    checks, metrics = guardrails.floors(base, rules)
    all_checks = (*checks, *_alone(exam, base, rules))
    return _conclude(all_checks, metrics, evidence, missing=0)


def _alone(exam: Exam, base: Paired, rules: Rules) -> tuple[Check, ...]:
    latency_ms = exam.latency_ms if exam.latency_ms is not None else math.inf
    return guardrails.constant("base", base), guardrails.latency(latency_ms, rules)


def _compare(exam: Exam, recent: Paired, base: Paired, evidence: Evidence, rules: Rules) -> Verdict:
    base_check, base_metric = guardrails.base_accuracy(base, rules)
    floor_checks, floor_metrics = guardrails.floors(base, rules)
    checks = [base_check, *floor_checks, *_alone(exam, base, rules)]
    metrics: list[Metric] = [*base_metric, *floor_metrics]
    if len(recent.label) < rules.min_rows:
        missing = rules.min_rows - len(recent.label)
        return _conclude((_too_few(evidence, rules), *checks), tuple(metrics), evidence, missing)
    primary, metric, evidence, missing = _primary(recent, evidence, rules)
    loss_check, loss_metric = guardrails.recent_log_loss(recent, rules)
    checks = [
        primary, loss_check, guardrails.constant("recent", recent),
        guardrails.class_harm(recent, exam.classes, rules), *checks,
    ]  # fmt: skip
    return _conclude(tuple(checks), (metric, *loss_metric, *metrics), evidence, missing)


def _primary(
    recent: Paired, evidence: Evidence, rules: Rules
) -> tuple[Check, Metric, Evidence, int]:
    """Judge the primary metric, accuracy on recent rows, against the margin."""
    if recent.candidate is None or recent.champion is None:
        raise ValueError("recent rows are not scored; look for faults first")
    candidate_N = right(recent.label, recent.candidate)
    champion_N = right(recent.label, recent.champion)
    difference_N = candidate_N - champion_N
    bounds = accuracy_bounds(
        difference_N, recent.key, alpha=rules.alpha, resamples=rules.resamples, seed=rules.seed
    )
    pairs, single = count(difference_N), count(one_per_key(difference_N, recent.key))
    p_value = mcnemar_p(single.gained, single.lost) if rules.margin == 0.0 else None
    shown = bounds.lower > -rules.margin and (p_value is None or p_value <= rules.alpha)
    passed = True if shown else (False if bounds.upper <= -rules.margin else None)
    limit = -rules.margin
    rule = "it must be above 0" if limit == 0.0 else f"it must stay above {points(limit)}"
    words = (
        f"accuracy on {len(recent.label)} recent rows: {points(bounds.estimate)}, "
        f"{points(bounds.lower)} to {points(bounds.upper)} at {100 * rules.alpha:g} % each side; "
        f"{rule}"
    )
    evidence = replace(
        evidence, gained=pairs.gained, lost=pairs.lost, difference=bounds.estimate,
        lower=bounds.lower, upper=bounds.upper, p_value=p_value, discordance=pairs.discordance,
        design_effect=bounds.design_effect, method=bounds.method,
    )  # fmt: skip
    needed = labels_needed(
        pairs.discordance, alpha=rules.alpha, power=rules.power, effect=rules.effect,
        margin=rules.margin,
    )  # fmt: skip
    missing = max(math.ceil(needed * bounds.design_effect) - len(recent.label), 0)
    metric = Metric(
        "recent accuracy", float(candidate_N.mean()), float(champion_N.mean()),
        bounds.lower, bounds.upper,
    )  # fmt: skip
    return Check("recent accuracy", passed, bounds.lower, limit, words), metric, evidence, missing


def _too_few(evidence: Evidence, rules: Rules) -> Check:
    left_out = (
        f" ({evidence.recent_excluded} more were left out: a model has seen them, or they are "
        "not later than its training)"
        if evidence.recent_excluded
        else ""
    )
    words = (
        f"{evidence.recent_rows} recent labelled rows{left_out}; gate.min_rows asks for "
        f"{rules.min_rows}: {rules.min_rows - evidence.recent_rows} are missing"
    )
    return Check("recent rows", None, float(evidence.recent_rows), float(rules.min_rows), words)


def _conclude(
    checks: tuple[Check, ...], metrics: tuple[Metric, ...], evidence: Evidence, missing: int
) -> Verdict:
    failed = tuple(c.words for c in checks if c.passed is False)
    unsettled = tuple(c.words for c in checks if c.passed is None)
    outcome: Outcome = "reject" if failed else ("inconclusive" if unsettled else "promote")
    reasons = failed or unsettled or tuple(c.words for c in checks[:1])
    held = missing if outcome == "inconclusive" else 0
    return Verdict(outcome, reasons, checks, metrics, evidence, held)


def _refuse(exam: Exam, faults: tuple[str, ...]) -> Verdict:
    checks = tuple(_missing(f) for f in faults)
    evidence = Evidence(len(exam.recent.label), 0, len(exam.base.label), 0)
    return Verdict("reject", tuple(c.words for c in checks), checks, (), evidence, 0)


def _missing(fault: str) -> Check:
    words = f"evidence missing: {fault}"
    return Check("evidence", passed=False, value=None, limit=None, words=words)
