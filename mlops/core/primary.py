"""The primary metric: accuracy on recent rows, candidate against champion and against the anchor.

Sources: Q. McNemar (1947); T. Tango (1998), Statistics in Medicine 17; for rows that depend on
each other the block bootstrap (H. R. Künsch 1989), see `mlops.core.bounds`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core.amounts import points
from mlops.core.bounds import Bounds, accuracy_bounds
from mlops.core.decision import Check, Evidence, Metric
from mlops.core.noninferiority import right, scores, settle
from mlops.core.paired import count, labels_needed, mcnemar_p, one_per_key
from mlops.core.primary_error import error, error_from_anchor
from mlops.core.rules import level
from mlops.core.wanted import told, wanted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.exam import Exam, Paired
    from mlops.core.rules import Rules
    from mlops.core.wanted import Levels


def primary(
    recent: Paired, evidence: Evidence, rules: Rules, *, regression: bool = False
) -> tuple[Check, Metric, Evidence]:
    """Judge accuracy on recent rows against the margin; count the labels that would settle it.

    Args:
        recent: the rows that count; dependent ones have one key.
        evidence: with the number of this look and its level.
        rules: margin, power, effect.
        regression: whether the metric is the absolute error, and not accuracy.
    """
    if regression:
        return error(recent, evidence, rules)
    alpha = evidence.level
    candidate, champion = scores(recent)
    candidate_N, champion_N = right(recent.label, candidate), right(recent.label, champion)
    difference_N = candidate_N - champion_N
    bounds = _bounds(difference_N, recent, rules, alpha)
    pairs, single = count(difference_N), count(one_per_key(difference_N, recent.key))
    p_value = None
    if rules.margin == 0.0 and rules.block_s == 0.0:
        p_value = mcnemar_p(single.gained, single.lost)
    shown = bounds.lower > -rules.margin and (p_value is None or p_value <= alpha)
    passed = settle(shown, bounds.upper <= -rules.margin)
    evidence = replace(
        evidence, gained=pairs.gained, lost=pairs.lost, difference=bounds.estimate,
        lower=bounds.lower, upper=bounds.upper, p_value=p_value, discordance=pairs.discordance,
        design_effect=bounds.design_effect, method=bounds.method,
        recent_since_s=float(recent.observed_s.min()),
        recent_until_s=float(recent.observed_s.max()),
    )  # fmt: skip
    metric = Metric(
        "recent accuracy", float(candidate_N.mean()), float(champion_N.mean()),
        bounds.lower, bounds.upper,
    )  # fmt: skip
    words = _words(len(recent.label), bounds, evidence, -rules.margin)
    labels = _missing(evidence, rules) if passed is None else 0
    check = Check("recent accuracy", passed, bounds.lower, -rules.margin, words, labels)
    return check, metric, evidence


def _words(rows: int, bounds: Bounds, evidence: Evidence, limit: float) -> str:
    rule = "it must be above 0" if limit == 0.0 else f"it must stay above {points(limit)}"
    look = f", look {evidence.look} at these rows" if evidence.look > 1 else ""
    return (
        f"accuracy on {rows} recent rows: {points(bounds.estimate)}, {points(bounds.lower)} to "
        f"{points(bounds.upper)} at {100 * evidence.level:.3g} % each side{look}; {rule}"
    )


def _missing(evidence: Evidence, rules: Rules) -> int:
    """Return how many more labels would settle it, at the level that the next look has.

    n of `mlops.core.paired.labels_needed`, whose null variance is Tango's at the margin's boundary,
    times the design effect, minus the labels held.
    """
    needed = labels_needed(
        evidence.discordance or 0.0, alpha=level(rules.alpha, evidence.look + 1),
        power=rules.power, effect=rules.effect, margin=rules.margin,
    )  # fmt: skip
    return max(math.ceil(needed * (evidence.design_effect or 1.0)) - evidence.recent_rows, 0)


def drift_from_anchor(
    exam: Exam, recent: Paired, rules: Rules, levels: Levels
) -> tuple[tuple[Check, ...], tuple[Metric, ...]]:
    """Cap what all promotions together may lose: non-inferiority to the fixed anchor version.

    A margin allows a small loss each time; without this, many promotions in a row would add up.
    The anchor is the last version that was shown to be better than the one before it. Where it
    is the champion itself the primary test is the tighter one, and nothing is asked here, but it
    is said if the champion is the anchor only because that was deleted.
    """
    if exam.anchor is None or recent.anchor is None:
        words = f"{exam.anchored}: what was lost since that one is counted no more"
        said = (Check("anchor", passed=True, value=None, limit=None, words=words),)
        return said if exam.lost else (), ()
    candidate, _ = scores(recent)
    if exam.regression:
        return error_from_anchor(exam, recent, rules, levels)
    ours, theirs = right(recent.label, candidate), right(recent.label, recent.anchor)
    bounds = _bounds(ours - theirs, recent, rules, levels.alpha)
    limit = -rules.anchor_margin
    words = (
        f"accuracy against {exam.anchored}: {points(bounds.estimate)}, "
        f"at worst {points(bounds.lower)}; {points(limit)} allowed over all promotions since"
    )
    passed = settle(bounds.lower > limit, bounds.upper <= limit)
    metric = Metric(
        "recent accuracy (anchor)", float(ours.mean()), float(theirs.mean()),
        bounds.lower, bounds.upper,
    )  # fmt: skip
    seen = (bounds.estimate, bounds.lower)
    labels = wanted(len(recent.label), seen, rules.anchor_margin, levels)
    return (told(Check("anchor", passed, bounds.lower, limit, words), labels),), (metric,)


def _bounds(difference_N: NDArray[np.int64], recent: Paired, rules: Rules, alpha: float) -> Bounds:
    return accuracy_bounds(
        difference_N, recent.key, alpha=alpha, resamples=rules.resamples, seed=rules.seed
    )
