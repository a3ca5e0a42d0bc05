"""Absolute limits of a candidate, whatever the champion does: floors, ceilings, a constant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core import metrics, regression
from mlops.core.amounts import number
from mlops.core.bounds import cautious_effect
from mlops.core.decision import Check, Metric
from mlops.core.fairness import Counted, gap_bounds
from mlops.core.harm import Slice, thirds
from mlops.core.noninferiority import absolute, covered, right, settle
from mlops.core.regression_scores import constant_mae
from mlops.core.reliability import debiased_ece
from mlops.core.wanted import larger, told, wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.core.exam import Exam, Paired, Trial
    from mlops.core.rules import Rules
    from mlops.core.schema import Task
    from mlops.core.wanted import Levels

FLOORS: dict[Task, dict[str, Callable[[Any, Any], float]]] = {
    "classification": {
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "roc_auc": metrics.roc_auc,
    },
    "regression": {
        "r2": lambda label, q: regression.r2(label, q[:, q.shape[1] // 2]),
        "coverage": lambda label, q: float(covered(label, q).mean()),
    },
}
"""What `gate.floors` may name on base rows; `recent_roc_auc` is the one on recent rows."""

_TRIED = {
    "latency_ms": ("one request of one row takes", "ms (95th percentile)"),
    "memory_mb": ("the server's worker holds", "MB"),
    "size_mb": ("the version's files have", "MB"),
}
_ECE_BINS = 10


def constant(name: str, rows: Paired) -> Check:
    """Ask whether the candidate beats the best constant predictor on log loss, or absolute error.

    After a collapse a constant can beat the champion: so this does not look at the champion.
    """
    scores = _candidate(rows)
    if rows.label.dtype.kind == "f":
        return _median(name, rows, scores)
    limit = metrics.constant_log_loss(rows.label, scores.shape[1])
    value = float(metrics.row_log_loss(rows.label, scores).mean())
    if limit == 0.0:
        words = f"all {name} rows have one label: no constant can be told from a model"
        return told(Check(f"{name} constant", None, value, limit, words), None)
    words = f"log loss on {name} rows {value:.3f}; the best constant predictor has {limit:.3f}"
    return Check(f"{name} constant", value < limit, value, limit, words)


def _median(name: str, rows: Paired, scores: NDArray[np.float32]) -> Check:
    """Ask whether a regression beats the median of the rows' own targets."""
    limit = constant_mae(rows.label)
    value = float(absolute(rows.label, scores).mean())
    if limit == 0.0:
        words = f"all {name} rows have one target: no constant can be told from a model"
        return told(Check(f"{name} constant", None, value, limit, words), None)
    words = (
        f"absolute error on {name} rows {number(value)}; their median as the answer has "
        f"{number(limit)}"
    )
    return Check(f"{name} constant", value < limit, value, limit, words)


def floors(exam: Exam, base: Paired, rules: Rules) -> tuple[tuple[Check, ...], tuple[Metric, ...]]:
    """Hold the candidate's metrics on the base test rows against absolute floors."""
    checks, figures = [], []
    for name, limit in rules.floors:
        others = {n for task, known in FLOORS.items() if task != exam.task for n in known}
        if name == "recent_roc_auc" or name in others:
            continue
        label, measure = name.replace("_", " "), FLOORS[exam.task].get(name)
        if measure is None:
            known = ", ".join(FLOORS[exam.task])
            words = f"gate.floors.{name} is no known metric; known: {known}"
            checks.append(_unknown(f"floor {label}", limit, words))
            continue
        value = measure(base.label, _candidate(base))
        checks.append(_floor(label, "base test rows", value, limit))
        other = None if base.champion is None else measure(base.label, base.champion)
        if not math.isnan(value) and (name != "accuracy" or other is None):
            figures.append(Metric(f"base {label}", value, other))
    return tuple(checks), tuple(figures)


def recent_floor(exam: Exam, recent: Paired, rules: Rules) -> tuple[Check, ...]:
    """Hold the ROC-AUC on recent rows against its floor: a constant, however right, has 0.5."""
    limits = [limit for name, limit in rules.floors if name == "recent_roc_auc"]
    if exam.regression:
        return ()
    value = metrics.roc_auc(recent.label, _candidate(recent))
    return tuple(_floor("roc auc", "recent rows", value, limit) for limit in limits)


def ceilings(exam: Exam, base: Paired, rules: Rules) -> tuple[Check, ...]:
    """Hold latency, memory, size and calibration against their ceilings."""
    if exam.trial is None:
        raise ValueError("the candidate was not tried; look for faults first")
    checks = []
    for name, limit in rules.ceilings:
        if name in _TRIED:
            checks.append(_tried(name, exam.trial, limit))
        elif name == "ece" and exam.regression:
            continue
        elif name == "ece":
            value = debiased_ece(base.label, _candidate(base), _ECE_BINS)
            words = (
                f"debiased calibration error on base test rows {value:.3f}; "
                f"at most {limit:.3f} allowed"
            )
            checks.append(Check("calibration", value <= limit, value, limit, words))
        elif name != "group_gap":
            known = ", ".join([*_TRIED, "ece", "group_gap"])
            words = f"gate.ceilings.{name} is no known measure; known: {known}"
            checks.append(_unknown(f"ceiling {name}", limit, words))
    return tuple(checks)


def fairness(exam: Exam, rows: Paired, rules: Rules, levels: Levels) -> tuple[Check, ...]:
    """Hold the gap of accuracy between the groups of each protected column against its ceiling.

    Of a regression it is the coverage: the share of targets between the outer quantiles.

    It passes where the gap is shown to be below, fails where it is shown to be above, and is not
    settled between. Groups of fewer than `min_slice_rows` rows are not assessable: they neither
    pass nor fail, and with fewer than two others no gap is.

    Args:
        exam: names of classes and columns; its base rows say where a column is cut.
        rows: those that count; the dependent ones with one key.
        rules: columns, ceiling, least rows.
        levels: of each of the gap's two bounds, and of the next.
    """
    limits = [limit for name, limit in rules.ceilings if name == "group_gap"]
    return tuple(
        _gap(column, _groups(exam, rows, column), rows, (rules.min_slice_rows, levels), limit)
        for column in rules.protected
        for limit in limits
    )


def _groups(exam: Exam, rows: Paired, column: str) -> list[Slice]:
    if column == "class" and exam.classes:
        return [Slice(name, rows.label == k) for k, name in enumerate(exam.classes)]
    return thirds(exam, rows, column)


def _gap(
    column: str, groups: list[Slice], rows: Paired, asked: tuple[int, Levels], limit: float
) -> Check:
    name, (least, levels) = f"fairness {column}", asked
    if not groups:
        words = f"gate.protected names {column!r}, which is no column of these rows"
        return _unknown(name, limit, words)
    numbers = rows.label.dtype.kind == "f"
    measure = "coverage" if numbers else "accuracy"
    hits_N = (covered if numbers else right)(rows.label, _candidate(rows)).astype(np.float64)
    large = [g for g in groups if int(g.mask.sum()) >= least]
    small = [g.name for g in groups if int(g.mask.sum()) < least]
    rest = f"; not assessable for want of {least} rows: {', '.join(small)}" if small else ""
    if len(large) < 2:
        words = f"{column}: no gap can be assessed, fewer than two groups have {least} rows{rest}"
        second = sorted(int(g.mask.sum()) for g in groups)[-2:-1]
        labels = larger(len(rows.label), second[0], least) if second and levels.again else None
        return told(Check(name, None, None, limit, words), labels, levels)
    counted = [count_group(g, hits_N, rows) for g in large]
    found = gap_bounds(counted, levels.alpha)
    low, high = min(counted, key=lambda g: g.share), max(counted, key=lambda g: g.share)
    words = (
        f"{measure} on {low.name} {100 * low.share:.1f} %, on {high.name} {100 * high.share:.1f} %:"
        f" {100 * found.value:.1f} points apart, {100 * found.low:.1f} to {100 * found.high:.1f} "
        f"at {100 * levels.alpha:.3g} % each side; a gap of {100 * limit:.0f} points allowed{rest}"
    )
    passed = settle(found.high <= limit, found.low > limit)
    seen = (limit - found.value, limit - found.high)  # what is left below the ceiling
    labels = wanted(len(rows.label), seen, 0.0, levels)
    return told(Check(name, passed, found.high, limit, words), labels, levels)


def count_group(group: Slice, hits_N: NDArray[np.float64], rows: Paired) -> Counted:
    """Count a group's rows for what they are worth: dependent ones by their design effect.

    Cautiously: with four keys of 25 rows, alike in 90 %, the plain one let a gap at the ceiling
    pass in 10 % of 3000 simulations, at a level of 2.5 %.
    """
    value_N = hits_N[group.mask]
    worth = len(value_N) / cautious_effect(value_N, rows.key[group.mask])
    return Counted(group.name, float(value_N.mean()) * worth, worth)


def _tried(name: str, trial: Trial, limit: float) -> Check:
    value = float(getattr(trial, name))
    start, unit = _TRIED[name]
    words = f"{start} {value:.3g} {unit}; at most {limit:g} allowed"
    return Check(name.rpartition("_")[0], value <= limit, value, limit, words)


def _floor(label: str, where: str, value: float, limit: float) -> Check:
    name = f"floor {'recent ' if where.startswith('recent') else ''}{label}"
    if math.isnan(value):
        words = f"{label} on {where} could not be computed: one class stands alone"
        return _unknown(name, limit, words)
    words = f"{label} on {where} {value:.3f}; floor {limit:.3f}"
    return Check(name, value >= limit, value, limit, words)


def _unknown(name: str, limit: float, words: str) -> Check:
    """Return a limit that could not be measured: never a pass."""
    return Check(name, passed=False, value=None, limit=limit, words=words)


def _candidate(rows: Paired) -> NDArray[np.float32]:
    if rows.candidate is None:
        raise ValueError("the candidate is not scored; look for faults first")
    return rows.candidate
