"""A model's scores on labelled rows with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core import metrics
from mlops.core.clustered import share
from mlops.core.intervals import Interval, bootstrap_all, wilson
from mlops.core.ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


BRIEF = frozenset({
    "accuracy", "balanced_accuracy", "brier", "constant_log_loss", "ece", "f1_macro", "log_loss",
    "n", "roc_auc",
})  # fmt: skip
"""Figures of other rows than the test rows: MLflow's pages slow down above 40 metrics, so the rest
stands in tables."""


_LOSSES = ("log_loss", "brier")


@dataclass(frozen=True)
class Scored:
    """Labelled rows with a model's answers.

    Attributes:
        label: int64 (N,), 0 … K-1; of a regression float64.
        probabilities: float32 (N, K); of a regression the quantiles.
        key: uint64 (N,): rows with equal keys resemble each other and are resampled together.
        production: bool (N,): whether the row came from production.
    """

    label: NDArray[Any]
    probabilities: NDArray[np.float32]
    key: NDArray[np.uint64]
    production: NDArray[np.bool_]

    @property
    def regression(self) -> bool:
        """Whether the labels are numbers."""
        return self.label.dtype.kind == "f"

    @property
    def point(self) -> NDArray[np.float64]:
        """The predicted numbers of a regression: the medians; float64 (N,)."""
        return self.probabilities[:, self.probabilities.shape[1] // 2].astype(np.float64)

    def take(self, mask: NDArray[np.bool_]) -> Scored:
        """Return the rows that a mask selects."""
        return Scored(**{name: value[mask] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Rules:
    """How to measure.

    Attributes:
        confidence: coverage of every interval.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        bins: of the calibration curve.
        min_slice_rows: fewest rows of a slice that is assessed.
        top_k: how many of the likeliest classes may hold the label.
    """

    confidence: float
    resamples: int
    seed: int
    bins: int
    min_slice_rows: int
    top_k: int


@dataclass(frozen=True)
class Measured:
    """A metric with its interval.

    Attributes:
        name: of the metric.
        interval: value and limits; both NaN where no interval is claimed.
        method: how the limits were made, in words.
    """

    name: str
    interval: Interval
    method: str


def measured(rows: Scored, rules: Rules) -> tuple[Measured, ...]:
    """Return every metric with its interval and the name of the method.

    Accuracies have Wilson's interval, of as many rows as they are worth (`mlops.core.clustered`);
    the rest the bootstrap's, over split keys, all from the same resamples. Where no resample
    differs, as of a model that makes no mistake, it would have no width: then a share has Wilson's
    interval of one row for each key of the rarest class, and a loss none. None is claimed for
    calibration errors: chance alone makes them larger, and a resample more so. A metric that the
    rows cannot answer is left out.
    """
    label, p = rows.label, rows.probabilities
    alone = len(np.unique(rows.key)) == len(rows.key)
    single = metrics.summary(label, p, rules.bins, rules.top_k)
    statistics = _Statistics(rows, rules)
    found = bootstrap_all(
        statistics.of, len(label), confidence=rules.confidence, resamples=rules.resamples,
        seed=rules.seed, groups=None if alone else rows.key,
    )  # fmt: skip
    out = []
    for name, interval in zip(statistics.names, found, strict=True):
        kept = Measured(name, interval, "bootstrap BCa")
        if name in statistics.hits:
            hits = share(statistics.hits[name], rows.key, rules.confidence)
            kept = Measured(name, hits, "wilson" if alone else "wilson, design effect")
        if not np.isfinite([kept.interval.value, kept.interval.low, kept.interval.high]).all():
            continue
        if kept.interval.low == kept.interval.high:
            kept = _never_differing(kept, rows, rules.confidence)
        out.append(kept)
    nan = float("nan")
    out += [
        Measured(name, Interval(single[name], nan, nan), "no interval claimed")
        for name in ("ece", "ece_debiased")
        if name in single
    ]
    return tuple(sorted(out, key=lambda one: one.name))


def _never_differing(found: Measured, rows: Scored, confidence: float) -> Measured:
    """Return a metric that no resample changed with an interval that has a width, or with none."""
    value = found.interval.value
    if found.name in _LOSSES:
        return Measured(found.name, Interval(value, np.nan, np.nan), "no interval claimed")
    fewest = min(len(np.unique(rows.key[rows.label == k])) for k in np.unique(rows.label))
    interval = wilson(min(value, 1.0) * fewest, fewest, confidence)
    return Measured(found.name, interval, "wilson, keys of the rarest class")


def figures(parts: Mapping[str, Scored], rules: Rules) -> dict[str, float]:
    """Return the flat metrics of each part of the rows by name.

    Those of `test` have no prefix. Of other parts only `BRIEF` is given.

    Args:
        parts: name of the part and its rows, at least one each.
        rules: how to measure.
    """
    out: dict[str, float] = {}
    for part, rows in parts.items():
        label, p = rows.label, rows.probabilities
        found = metrics.summary(label, p, rules.bins, rules.top_k)
        found["constant_log_loss"] = metrics.constant_log_loss(label, p.shape[1])
        if part == "test":
            out |= found
        else:
            out |= {f"{part}_{name}": value for name, value in found.items() if name in BRIEF}
    return out


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of one class, each with its interval; NaN where unknown."""

    precision: Interval
    recall: Interval
    f1: Interval


def by_class(rows: Scored, rules: Rules) -> tuple[ClassScores, ...]:
    """Return the scores of every class with Wilson's intervals, of as many rows as they are worth.

    F1 is 2q / (1 + q), where q is the share of right answers among the rows that are of the class
    or were taken for it: a proportion like the others. So a class without a mistake has an
    interval of some width, which no bootstrap can give it.
    """
    guess = metrics.predicted(rows.probabilities)
    return tuple(
        _class_scores(rows, guess == k, rows.label == k, rules.confidence)
        for k in range(rows.probabilities.shape[1])
    )


def _class_scores(
    rows: Scored, named: NDArray[np.bool_], labelled: NDArray[np.bool_], confidence: float
) -> ClassScores:
    hits = named & labelled
    unknown = Interval(float("nan"), float("nan"), float("nan"))

    def of(mask: NDArray[np.bool_]) -> Interval:
        return share(hits[mask], rows.key[mask], confidence) if mask.any() else unknown

    if not labelled.any():
        return ClassScores(of(named), unknown, unknown)
    q = of(named | labelled)
    f1 = Interval(*(2.0 * part / (1.0 + part) for part in (q.value, q.low, q.high)))
    return ClassScores(of(named), of(labelled), f1)


class _Statistics:
    """Every metric as a function of how often each row counts."""

    def __init__(self, rows: Scored, rules: Rules) -> None:
        label, p = rows.label, rows.probabilities
        self._classes = p.shape[1]
        guess = metrics.predicted(p)
        self._cell = label * self._classes + guess
        self._ranking = Ranking(label, p)
        right = {"accuracy": guess == label}
        if rules.top_k < self._classes:
            right[f"top_{rules.top_k}_accuracy"] = metrics.place(label, p) < rules.top_k
        # The same share by another name.
        self.hits = {**right, "recall_weighted": right["accuracy"]}
        means = {
            **right,
            "log_loss": metrics.row_log_loss(label, p),
            "brier": ((p - np.eye(self._classes)[label]) ** 2).sum(axis=1),
        }
        self._means = np.column_stack(list(means.values())).astype(np.float64)
        table = metrics.averages(self._table(np.ones(len(label), dtype=np.int64)))
        self.names = (*means, "balanced_accuracy", *table, "roc_auc", "pr_auc")

    def _table(self, counts_N: NDArray[np.int64]) -> NDArray[np.float64]:
        square = self._classes * self._classes
        flat = np.bincount(self._cell, counts_N, minlength=square)
        return flat.reshape(self._classes, self._classes).astype(np.float64)

    def of(self, counts_N: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the metrics of `names`, float64 (M,)."""
        means = counts_N @ self._means / counts_N.sum()
        table = metrics.averages(self._table(counts_N))
        areas = self._ranking.areas(counts_N)
        return np.array([*means, table["recall_macro"], *table.values(), *areas])
