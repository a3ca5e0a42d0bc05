"""What a candidate must not break: each check on its own, at its own level.

All guardrails must pass together with the primary metric, so none needs a correction for being
one of many (intersection-union: R. L. Berger, J. C. Hsu 1996, Statistical Science 11). Only the
search for a harmed class asks many questions for one answer, and pays by Holm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlops.core import metrics
from mlops.core.decision import Check, Metric
from mlops.core.paired import accuracy_bounds, count, holm, mcnemar_p, mean_bounds, one_per_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.exam import Paired, Rules

Finding = tuple[Check, tuple[Metric, ...]]

FLOORS = {
    "accuracy": metrics.accuracy,
    "balanced_accuracy": metrics.balanced_accuracy,
    "roc_auc": metrics.roc_auc,
}
"""What `gate.floors` may name."""


def right(label_N: NDArray[np.int64], probability_NK: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return 1 where the most probable class is the label, else 0; int64 (N,)."""
    return np.asarray(metrics.predicted(probability_NK) == label_N, dtype=np.int64)


def base_accuracy(rows: Paired, rules: Rules) -> Finding:
    """Ask whether accuracy on the base test rows stays within `base_margin` of the champion's."""
    candidate_N = right(rows.label, _candidate(rows))
    champion_N = right(rows.label, _champion(rows))
    bounds = accuracy_bounds(
        candidate_N - champion_N, rows.key,
        alpha=rules.alpha, resamples=rules.resamples, seed=rules.seed,
    )  # fmt: skip
    metric = Metric(
        "base accuracy", float(candidate_N.mean()), float(champion_N.mean()),
        bounds.lower, bounds.upper,
    )  # fmt: skip
    limit = -rules.base_margin
    passed = _settle(bounds.lower > limit, bounds.upper <= limit)
    words = (
        f"accuracy on {len(rows.label)} base test rows: {points(bounds.estimate)}, at worst "
        f"{points(bounds.lower)}; {points(limit)} allowed"
    )
    return Check("base accuracy", passed, bounds.lower, limit, words), (metric,)


def recent_log_loss(rows: Paired, rules: Rules) -> Finding:
    """Ask whether the log loss on recent rows rises by no more than `log_loss_margin` nats."""
    candidate_N = metrics.row_log_loss(rows.label, _candidate(rows))
    champion_N = metrics.row_log_loss(rows.label, _champion(rows))
    bounds = mean_bounds(
        candidate_N - champion_N, rows.key,
        alpha=rules.alpha, resamples=rules.resamples, seed=rules.seed,
    )  # fmt: skip
    metric = Metric(
        "recent log loss", float(candidate_N.mean()), float(champion_N.mean()),
        bounds.lower, bounds.upper,
    )  # fmt: skip
    limit = rules.log_loss_margin
    passed = _settle(bounds.upper <= limit, bounds.lower > limit)
    words = (
        f"log loss on {len(rows.label)} recent rows: {bounds.estimate:+.3f} nats, at worst "
        f"{bounds.upper:+.3f}; {limit:+.3f} allowed"
    ).replace("-", "−")
    return Check("recent log loss", passed, bounds.upper, limit, words), (metric,)


def constant(name: str, rows: Paired) -> Check:
    """Ask whether the candidate beats the best constant predictor on log loss.

    After a collapse a constant can beat the champion: so this does not look at the champion.
    """
    limit = metrics.constant_log_loss(rows.label, _candidate(rows).shape[1])
    value = float(metrics.row_log_loss(rows.label, _candidate(rows)).mean())
    if limit == 0.0:
        words = f"all {name} rows have one label: no constant can be told from a model"
        return Check(f"{name} constant", None, value, limit, words)
    words = f"log loss on {name} rows {value:.3f}; the best constant predictor has {limit:.3f}"
    return Check(f"{name} constant", value < limit, value, limit, words)


def floors(rows: Paired, rules: Rules) -> tuple[tuple[Check, ...], tuple[Metric, ...]]:
    """Hold the candidate's metrics on the base test rows against absolute floors."""
    checks, figures = [], []
    for name, limit in rules.floors:
        label = name.replace("_", " ")
        measure = FLOORS.get(name)
        if measure is None:
            words = f"gate.floors.{name} is no known metric; known: {', '.join(FLOORS)}"
            checks.append(_below(label, limit, words))
            continue
        value = measure(rows.label, _candidate(rows))
        if math.isnan(value):
            words = f"{label} on base test rows could not be computed: one class stands alone"
            checks.append(_below(label, limit, words))
            continue
        words = f"{label} on base test rows {value:.3f}; floor {limit:.3f}"
        checks.append(Check(f"floor {label}", value >= limit, value, limit, words))
        other = None if rows.champion is None else measure(rows.label, rows.champion)
        if name != "accuracy" or other is None:
            figures.append(Metric(f"base {label}", value, other))
    return tuple(checks), tuple(figures)


def latency(latency_ms: float, rules: Rules) -> Check:
    """Hold the candidate's latency for one row against its ceiling."""
    limit = rules.max_latency_ms
    words = f"one row takes {latency_ms:.2f} ms (95th percentile); at most {limit:.0f} ms allowed"
    return Check("latency", latency_ms <= limit, latency_ms, limit, words)


def class_harm(rows: Paired, classes: tuple[str, ...], rules: Rules) -> Check:
    """Look for a class that the candidate harms: McNemar's test per class, Holm over classes.

    Classes with fewer than `min_slice_rows` rows are named; they neither pass nor block.
    """
    right_N = right(rows.label, _candidate(rows))
    difference_N = right_N - right(rows.label, _champion(rows))
    names, p_values, small = [], [], []
    for k, name in enumerate(classes):
        own_N = rows.label == k
        if int(own_N.sum()) < rules.min_slice_rows:
            small.append(name)
            continue
        pairs = count(one_per_key(difference_N[own_N], rows.key[own_N]))
        names.append(name)
        p_values.append(mcnemar_p(pairs.lost, pairs.gained))
    adjusted = holm(p_values)
    harmed = [n for n, p in zip(names, adjusted, strict=True) if p <= rules.alpha]
    rest = f"; too few rows to assess: {', '.join(small)}" if small else ""
    if harmed:
        words = f"worse on class {', '.join(harmed)} beyond chance (p = {min(adjusted):.4f}){rest}"
    else:
        words = f"no class harmed beyond chance, of {len(names)} assessed{rest}"
    return Check("classes", not harmed, min(adjusted, default=None), rules.alpha, words)


def points(share: float) -> str:
    """Write a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f} pp".replace("-", "−")


def _below(label: str, limit: float, words: str) -> Check:
    """Return a floor that could not be measured: never a pass."""
    return Check(f"floor {label}", passed=False, value=None, limit=limit, words=words)


def _settle(good: bool, bad: bool) -> bool | None:  # noqa: FBT001 - two answers of one question
    return True if good else (False if bad else None)


def _candidate(rows: Paired) -> NDArray[np.float32]:
    if rows.candidate is None:
        raise ValueError("the candidate is not scored; look for faults first")
    return rows.candidate


def _champion(rows: Paired) -> NDArray[np.float32]:
    if rows.champion is None:
        raise ValueError("the champion is not scored; look for faults first")
    return rows.champion
