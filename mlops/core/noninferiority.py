"""Named metrics of which a candidate may lose no more than declared, each at its own level.

All must hold together with the primary metric, so that none needs a correction for being one of
many (intersection-union: R. L. Berger, J. C. Hsu 1996, Statistical Science 11).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlops.core import influence, metrics
from mlops.core.amounts import figure
from mlops.core.bounds import Bounds, accuracy_bounds
from mlops.core.decision import Check, Metric
from mlops.core.schema import QUANTILES
from mlops.core.unseen import cautious_bounds
from mlops.core.wanted import told, wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.core.exam import Paired
    from mlops.core.influence import Influence
    from mlops.core.rules import Rules
    from mlops.core.schema import Task
    from mlops.core.wanted import Levels

    PerRow = Callable[[NDArray[Any], NDArray[np.float32]], NDArray[np.float64]]
    Whole = Callable[[NDArray[np.int64], NDArray[np.float32]], float]
    Parts = Callable[[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]], Influence]

Part = Literal["recent", "base", "corrupted"]
Finding = tuple[Check, tuple[Metric, ...]]


WORST = 5.0
"""What one row can lose at worst of a loss that has no end, in the champion's mean losses: at a
margin of 5 % it is a loss that lies on 1 % of the rows. A rarer and greater one can go unseen."""


def right(label_N: NDArray[np.int64], probability_NK: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return 1 where the most probable class is the label, else 0; int64 (N,)."""
    return np.asarray(metrics.predicted(probability_NK) == label_N, dtype=np.int64)


def covered(label_N: NDArray[Any], quantile_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return 1 where a number lies between the outer quantiles, else 0; float64 (N,)."""
    inside = (quantile_NK[:, 0] <= label_N) & (label_N <= quantile_NK[:, -1])
    return np.asarray(inside, dtype=np.float64)


def absolute(label_N: NDArray[Any], quantile_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the absolute error of the median, float64 (N,)."""
    point_N = quantile_NK[:, quantile_NK.shape[1] // 2].astype(np.float64)
    return np.asarray(np.abs(point_N - label_N), dtype=np.float64)


def pinball(label_N: NDArray[Any], quantile_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean loss of the quantiles, float64 (N,): R. Koenker, G. Bassett (1978)."""
    levels = np.array(QUANTILES)
    gap_NK = np.asarray(label_N)[:, None] - quantile_NK.astype(np.float64)
    return np.asarray(np.maximum(levels * gap_NK, (levels - 1.0) * gap_NK).mean(axis=1))


def relative_bounds(
    ours_N: NDArray[np.float64],
    theirs_N: NDArray[np.float64],
    key_N: NDArray[np.uint64],
    margin: float,
    alpha: float,
) -> Bounds:
    """Bound by which share of the champion's mean loss the candidate's is lower.

    `1 − ours / theirs > −margin` holds exactly if the mean of `(1 + margin) · theirs − ours` is
    above 0, and so is tested as a mean of rows. Bounds of that mean are given in shares of the
    champion's loss, less the margin: they exceed −margin exactly if the mean is above 0.

    What a row can lose at worst is not known of a loss without end: it is taken to be `WORST`.

    Args:
        ours_N: the candidate's loss of each row.
        theirs_N: the champion's.
        key_N: dependent rows have one key.
        margin: share that may be lost.
        alpha: level of each bound.
    """
    scale = float(theirs_N.mean()) or 1.0  # a champion without error: any loss is infinitely more
    value_N = ((1.0 + margin) * theirs_N - ours_N) / scale
    found = cautious_bounds(value_N, key_N, (-WORST, WORST), alpha)
    return replace(
        found, estimate=found.estimate - margin, lower=found.lower - margin,
        upper=found.upper - margin,
    )  # fmt: skip


@dataclass(frozen=True)
class Named:
    """A metric that `gate.non_inferiority` may name.

    Attributes:
        part: the rows that it is computed on.
        words: its name in a sentence.
        unit: `pp` for shares, `nats`, `%` of the champion's loss, or nothing.
        sign: 1 if more is better, -1 if less is.
        per_row: value of each row, for metrics that are means; else nothing.
        most: how much of it one row can lose or gain, for those of them that are not shares.
        whole: value of all rows together, for the others.
        parts: what each row adds to the difference of two models in it.
        task: what models must do for it to exist; other tasks pass over it.
    """

    part: Part
    words: str
    unit: str
    sign: int
    per_row: PerRow | None = None
    most: float = 1.0
    whole: Whole | None = None
    parts: Parts | None = None
    task: Task = "classification"


NAMED = {
    "base_accuracy": Named("base", "accuracy", "pp", 1),
    "robustness": Named("corrupted", "accuracy", "pp", 1),
    "log_loss": Named(
        "recent",
        "log loss",
        "nats",
        -1,
        per_row=metrics.row_log_loss,
        most=metrics.MOST_LOG_LOSS,
    ),
    "brier": Named(
        "recent", "Brier score", "", -1, per_row=metrics.row_brier, most=metrics.MOST_BRIER
    ),
    "balanced_accuracy": Named(
        "recent",
        "balanced accuracy",
        "pp",
        1,
        whole=metrics.balanced_accuracy,
        parts=influence.balanced_accuracy,
    ),
    "f1_macro": Named(
        "recent", "macro F1", "pp", 1, whole=metrics.f1_macro, parts=influence.f1_macro
    ),
    "roc_auc": Named("recent", "ROC-AUC", "pp", 1, whole=metrics.roc_auc, parts=influence.roc_auc),
    "base_mae": Named("base", "absolute error", "%", 1, task="regression"),
    "robustness_mae": Named("corrupted", "absolute error", "%", 1, task="regression"),
    "coverage": Named("recent", "coverage", "pp", 1, per_row=covered, task="regression"),
    "pinball": Named("recent", "pinball loss", "%", 1, task="regression"),
}
"""What `gate.non_inferiority` may name."""

_ROWS = {"recent": "recent rows", "base": "base test rows", "corrupted": "corrupted base rows"}


def non_inferior(name: str, margin: float, rows: Paired, rules: Rules, levels: Levels) -> Finding:
    """Ask whether the candidate loses no more than `margin` of a named metric.

    Args:
        name: a key of `NAMED`.
        margin: the most that may be lost, in the metric's unit.
        rows: where both are scored; the dependent ones with one key.
        rules: resamples and seed.
        levels: of the bound, and of the next.
    """
    named = NAMED[name]
    bounds, figures = _bounds(named, rows, rules, levels.alpha, margin)
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
    seen = (gain.estimate, gain.lower)
    labels = wanted(len(rows.label), seen, margin, levels, bounds.one)
    return told(Check(label, passed, worst, limit, words), labels, levels), (metric,)


def _bounds(
    named: Named, rows: Paired, rules: Rules, alpha: float, margin: float
) -> tuple[Bounds, tuple[float, float]]:
    label, (candidate, champion) = rows.label, scores(rows)
    if named.unit == "%":
        loss = pinball if named.words.startswith("pinball") else absolute
        lost, before = loss(label, candidate), loss(label, champion)
        found = relative_bounds(lost, before, rows.key, margin, alpha)
        return found, (float(lost.mean()), float(before.mean()))
    if named.parts is not None and named.whole is not None:
        parts = named.parts(label, candidate, champion)
        found = cautious_bounds(parts.value, rows.key, parts.span, alpha, parts.rarest)
        return found, (named.whole(label, candidate), named.whole(label, champion))
    per_row = named.per_row or right
    ours, theirs = (per_row(label, p).astype(np.float64) for p in (candidate, champion))
    figures = float(ours.mean()), float(theirs.mean())
    if named.unit != "pp":
        span = (-named.most, named.most)
        return cautious_bounds(ours - theirs, rows.key, span, alpha), figures
    found = accuracy_bounds(
        (ours - theirs).astype(np.int64), rows.key, alpha=alpha, resamples=rules.resamples,
        seed=rules.seed,
    )  # fmt: skip
    return found, figures


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
    return replace(bounds, estimate=-bounds.estimate, lower=-bounds.upper, upper=-bounds.lower)
