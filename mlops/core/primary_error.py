"""The primary metric of a regression: the absolute error, in shares of the champion's.

A gain of 0.03 is an error that is 3 % smaller: so margin and effect mean the same whatever unit the
target has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core.amounts import percent
from mlops.core.decision import MAE, Check, Evidence, Metric
from mlops.core.noninferiority import WORST, absolute, relative_bounds, scores, settle
from mlops.core.reach import Spread, rows_needed
from mlops.core.rules import level
from mlops.core.wanted import told, wanted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.exam import Exam, Paired
    from mlops.core.rules import Rules
    from mlops.core.wanted import Levels


def error(recent: Paired, evidence: Evidence, rules: Rules) -> tuple[Check, Metric, Evidence]:
    """Judge the absolute error on recent rows, as `mlops.core.primary` judges accuracy."""
    candidate, champion = scores(recent)
    ours_N, theirs_N = absolute(recent.label, candidate), absolute(recent.label, champion)
    bounds = relative_bounds(ours_N, theirs_N, recent.key, rules.margin, evidence.level)
    passed = settle(bounds.lower > -rules.margin, bounds.upper <= -rules.margin)
    evidence = replace(
        evidence, difference=bounds.estimate, lower=bounds.lower, upper=bounds.upper,
        design_effect=bounds.design_effect, method=bounds.method, metric=MAE,
        recent_since_s=float(recent.observed_s.min()),
        recent_until_s=float(recent.observed_s.max()),
    )  # fmt: skip
    # The champion's error minus the candidate's is what is bounded: given as their difference.
    scale = float(theirs_N.mean())
    metric = Metric(
        f"recent {MAE}", float(ours_N.mean()), scale, -bounds.upper * scale, -bounds.lower * scale
    )
    rule = "it must be above 0" if rules.margin == 0.0 else f"at worst {percent(-rules.margin)}"
    look = f", look {evidence.look} at these rows" if evidence.look > 1 else ""
    words = (
        f"{MAE} on {len(recent.label)} recent rows smaller by {percent(bounds.estimate)}, "
        f"{percent(bounds.lower)} to {percent(bounds.upper)} at {100 * evidence.level:.3g} % each "
        f"side{look}; {rule}"
    )
    labels = _missing(ours_N, theirs_N, recent.key, evidence, rules) if passed is None else 0
    check = Check(f"recent {MAE}", passed, bounds.lower, -rules.margin, words, labels)
    return check, metric, evidence


def error_from_anchor(
    exam: Exam, recent: Paired, rules: Rules, levels: Levels
) -> tuple[tuple[Check, ...], tuple[Metric, ...]]:
    """Cap what all promotions together may lose, as `mlops.core.primary` does for accuracy."""
    if exam.anchor is None or recent.anchor is None:
        return (), ()
    candidate, _ = scores(recent)
    ours_N, theirs_N = absolute(recent.label, candidate), absolute(recent.label, recent.anchor)
    bounds = relative_bounds(ours_N, theirs_N, recent.key, rules.anchor_margin, levels.alpha)
    limit = -rules.anchor_margin
    words = (
        f"{MAE} against {exam.anchored}: smaller by {percent(bounds.estimate)}, at worst "
        f"{percent(bounds.lower)}; {percent(limit)} allowed "
        "over all promotions since"
    )
    passed = settle(bounds.lower > limit, bounds.upper <= limit)
    metric = Metric(f"recent {MAE} (anchor)", float(ours_N.mean()), float(theirs_N.mean()))
    seen = (bounds.estimate, bounds.lower)
    labels = wanted(len(recent.label), seen, rules.anchor_margin, levels, bounds.one)
    return (told(Check("anchor", passed, bounds.lower, limit, words), labels),), (metric,)


def _missing(
    ours_N: NDArray[np.float64], theirs_N: NDArray[np.float64], key_N: NDArray[np.uint64],
    evidence: Evidence, rules: Rules,
) -> int:  # fmt: skip
    """Return how many more labels would settle it, at the level that the next look has."""
    needed = errors_needed(
        ours_N, theirs_N, key_N, alpha=level(rules.alpha, evidence.look + 1), power=rules.power,
        effect=rules.effect, margin=rules.margin,
    )  # fmt: skip
    return max(needed - evidence.recent_rows, 0)


def errors_needed(
    ours_N: NDArray[np.float64],
    theirs_N: NDArray[np.float64],
    key_N: NDArray[np.uint64],
    *,
    alpha: float,
    power: float,
    effect: float,
    margin: float,
) -> int:
    """Return the rows that show a true gain of `effect` with the stated power.

    Their number is `mlops.core.reach.rows_needed`, what it is told of a row that of the tested
    value with the candidate's errors scaled so that the gain is `effect`: as they are, a candidate
    that hardly differs from the champion shows too little of it, and was promised to need no label.

    Args:
        ours_N: the candidate's errors, float64 (N,).
        theirs_N: the champion's.
        key_N: dependent rows have one key.
        alpha: level of the bound.
        power: with which it is to show the gain.
        effect: the gain, as a share of the champion's error.
        margin: share that may be lost.
    """
    scale = float(theirs_N.mean()) or 1.0
    ours_N = ours_N * ((1.0 - effect) * scale / (float(ours_N.mean()) or 1.0))
    one = relative_bounds(ours_N, theirs_N, key_N, margin, alpha).one
    if one is None:  # all rows have one key, and count as one
        rows, variance = len(ours_N), float((((1.0 + margin) * theirs_N - ours_N) / scale).var())
        one = Spread(variance * rows, WORST * rows)
    return rows_needed(one, effect + margin, alpha, power)
