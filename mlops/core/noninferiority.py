"""Named metrics of which a candidate may lose no more than declared, each at its own level.

All must hold together with the primary metric, so that none needs a correction for being one of
many (intersection-union: R. L. Berger, J. C. Hsu 1996, Statistical Science 11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlops.core import metrics
from mlops.core.amounts import figure
from mlops.core.bounds import (
    Bounds,
    Resampling,
    accuracy_bounds,
    mean_bounds,
    statistic_bounds,
)
from mlops.core.decision import Check, Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.core.exam import Paired
    from mlops.core.rules import Rules

    PerRow = Callable[[NDArray[np.int64], NDArray[np.float32]], NDArray[np.float64]]
    Whole = Callable[[NDArray[np.int64], NDArray[np.float32]], float]

Part = Literal["recent", "base", "corrupted"]
Finding = tuple[Check, tuple[Metric, ...]]


def right(label_N: NDArray[np.int64], probability_NK: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return 1 where the most probable class is the label, else 0; int64 (N,)."""
    return np.asarray(metrics.predicted(probability_NK) == label_N, dtype=np.int64)


@dataclass(frozen=True)
class Named:
    """A metric that `gate.non_inferiority` may name.

    Attributes:
        part: the rows that it is computed on.
        words: its name in a sentence.
        unit: `pp` for shares, `nats`, or nothing.
        sign: 1 if more is better, -1 if less is.
        per_row: value of each row, for metrics that are means; else nothing.
        whole: value of all rows together, for the others.
    """

    part: Part
    words: str
    unit: str
    sign: int
    per_row: PerRow | None = None
    whole: Whole | None = None


NAMED = {
    "base_accuracy": Named("base", "accuracy", "pp", 1),
    "robustness": Named("corrupted", "accuracy", "pp", 1),
    "log_loss": Named("recent", "log loss", "nats", -1, per_row=metrics.row_log_loss),
    "brier": Named("recent", "Brier score", "", -1, per_row=metrics.row_brier),
    "balanced_accuracy": Named(
        "recent", "balanced accuracy", "pp", 1, whole=metrics.balanced_accuracy
    ),
    "f1_macro": Named("recent", "macro F1", "pp", 1, whole=metrics.f1_macro),
    "roc_auc": Named("recent", "ROC-AUC", "pp", 1, whole=metrics.roc_auc),
}
"""What `gate.non_inferiority` may name."""

_ROWS = {"recent": "recent rows", "base": "base test rows", "corrupted": "corrupted base rows"}


def non_inferior(name: str, margin: float, rows: Paired, rules: Rules, alpha: float) -> Finding:
    """Ask whether the candidate loses no more than `margin` of a named metric.

    Args:
        name: a key of `NAMED`.
        margin: the most that may be lost, in the metric's unit.
        rows: where both are scored; the dependent ones with one key.
        rules: resamples and seed.
        alpha: level of the bound.
    """
    named = NAMED[name]
    bounds, figures = _bounds(named, rows, rules, alpha)
    gain = bounds if named.sign > 0 else _negated(bounds)
    passed = settle(gain.lower > -margin, gain.upper <= -margin)
    worst = bounds.lower if named.sign > 0 else bounds.upper
    limit = -margin * named.sign
    words = (
        f"{named.words} on {len(rows.label)} {_ROWS[named.part]}: "
        f"{figure(bounds.estimate, named.unit)}, at worst {figure(worst, named.unit)}; "
        f"{figure(limit, named.unit)} allowed"
    )
    label = f"{named.part} {named.words.lower()}"
    metric = Metric(label, *figures, bounds.lower, bounds.upper)
    return Check(label, passed, worst, limit, words), (metric,)


def _bounds(
    named: Named, rows: Paired, rules: Rules, alpha: float
) -> tuple[Bounds, tuple[float, float]]:
    candidate, champion = scores(rows)
    more = Resampling(alpha=alpha, resamples=rules.resamples, seed=rules.seed)
    if named.per_row is not None:
        ours, theirs = (named.per_row(rows.label, p) for p in (candidate, champion))
        found = mean_bounds(ours - theirs, rows.key, **more)
        return found, (float(ours.mean()), float(theirs.mean()))
    if named.whole is not None:
        whole, label = named.whole, rows.label

        def difference(index: NDArray[np.int64]) -> float:
            chosen = label[index]
            return whole(chosen, candidate[index]) - whole(chosen, champion[index])

        found = statistic_bounds(difference, rows.key, **more)
        return found, (whole(label, candidate), whole(label, champion))
    hits, other = right(rows.label, candidate), right(rows.label, champion)
    found = accuracy_bounds(hits - other, rows.key, **more)
    return found, (float(hits.mean()), float(other.mean()))


def scores(rows: Paired) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the probabilities of candidate and champion.

    Raises:
        ValueError: if one is not scored: look for faults first.
    """
    if rows.candidate is None or rows.champion is None:
        raise ValueError("a model is not scored; look for faults first")
    return rows.candidate, rows.champion


def settle(good: bool, bad: bool) -> bool | None:  # noqa: FBT001 - two answers of one question
    """Return passed, failed, or not settled."""
    return True if good else (False if bad else None)


def _negated(bounds: Bounds) -> Bounds:
    return Bounds(
        -bounds.estimate, -bounds.upper, -bounds.lower, bounds.design_effect, bounds.method
    )
