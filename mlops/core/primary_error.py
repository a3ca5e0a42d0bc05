"""The primary metric of a regression: the absolute error, in shares of the champion's.

A gain of 0.03 is an error that is 3 % smaller: so margin and effect mean the same whatever unit the
target has.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scipy import stats

from mlops.core.amounts import percent
from mlops.core.bounds import Bounds, Resampling
from mlops.core.decision import MAE, Check, Evidence, Metric
from mlops.core.noninferiority import absolute, relative_bounds, scores, settle
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
    bounds = _bounds(ours_N, theirs_N, recent, rules.margin, rules, evidence.level)
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
    spread = float(((theirs_N - ours_N) / (scale or 1.0)).var())
    labels = _missing(spread, evidence, rules) if passed is None else 0
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
    bounds = _bounds(ours_N, theirs_N, recent, rules.anchor_margin, rules, levels.alpha)
    limit = -rules.anchor_margin
    words = (
        f"{MAE} against {exam.anchored}: smaller by {percent(bounds.estimate)}, at worst "
        f"{percent(bounds.lower)}; {percent(limit)} allowed "
        "over all promotions since"
    )
    passed = settle(bounds.lower > limit, bounds.upper <= limit)
    metric = Metric(f"recent {MAE} (anchor)", float(ours_N.mean()), float(theirs_N.mean()))
    seen = (bounds.estimate, bounds.lower)
    labels = wanted(len(recent.label), seen, rules.anchor_margin, levels)
    return (told(Check("anchor", passed, bounds.lower, limit, words), labels),), (metric,)


def _bounds(  # noqa: PLR0917 - what a bound is made of
    ours_N: NDArray[np.float64],
    theirs_N: NDArray[np.float64],
    recent: Paired,
    margin: float,
    rules: Rules,
    alpha: float,
) -> Bounds:
    more = Resampling(alpha=alpha, resamples=rules.resamples, seed=rules.seed)
    return relative_bounds(ours_N, theirs_N, recent.key, margin, more)


def _missing(variance: float, evidence: Evidence, rules: Rules) -> int:
    """Return how many more labels would settle it, at the level that the next look has.

    n = (z(1-α) + z(power))² · variance / (Δ₁ + δ)², times the design effect: of a paired mean.
    """
    alpha = level(rules.alpha, evidence.look + 1)
    z = float(stats.norm.isf(alpha)) + float(stats.norm.ppf(rules.power))
    needed = (z / (rules.effect + rules.margin)) ** 2 * variance
    return max(math.ceil(needed * (evidence.design_effect or 1.0)) - evidence.recent_rows, 0)
