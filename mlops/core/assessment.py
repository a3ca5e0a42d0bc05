"""A model's scores on labelled rows with their uncertainty: overall, per class, per slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core import metrics
from mlops.core.intervals import Interval, bootstrap, wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Scored:
    """Labelled rows with a model's answers.

    Attributes:
        label: int64 (N,), 0 … K-1.
        probabilities: float32 (N, K).
        key: uint64 (N,): rows with equal keys resemble each other and are resampled together.
        production: bool (N,): whether the row came from production.
    """

    label: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    key: NDArray[np.uint64]
    production: NDArray[np.bool_]

    def take(self, mask: NDArray[np.bool_]) -> Scored:
        """Return the rows that a mask selects."""
        return Scored(**{name: value[mask] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Rules:
    """How to measure: coverage, bootstrap resamples, their seed, bins of the calibration curve."""

    confidence: float
    resamples: int
    seed: int
    bins: int
    min_slice_rows: int


@dataclass(frozen=True)
class Slice:
    """Accuracy of the rows that have one value of one property.

    Attributes:
        name: the property: `all`, `class` or `origin`.
        value: its value.
        n: rows.
        accuracy: with Wilson's interval; None if there are fewer than `min_slice_rows`.
        log_loss: in nats; None likewise.
    """

    name: str
    value: str
    n: int
    accuracy: Interval | None
    log_loss: float | None

    @property
    def status(self) -> str:
        """`assessed`, or `not assessable` for want of rows."""
        return "not assessable" if self.accuracy is None else "assessed"


def intervals(rows: Scored, rules: Rules) -> dict[str, tuple[Interval, str]]:
    """Return every metric with its interval and the name of the method.

    Accuracy has Wilson's interval if all rows stand alone; the rest the bootstrap's, over split
    keys. A metric that the rows cannot answer is left out.
    """
    label, p = rows.label, rows.probabilities
    classes = p.shape[1]
    guess = metrics.predicted(p)
    right = guess == label
    losses = metrics.row_log_loss(label, p)
    errors = ((p - np.eye(classes)[label]) ** 2).sum(axis=1)
    auc = metrics.RocAuc(label, p)

    def table(index: NDArray[np.int64]) -> NDArray[np.int64]:
        return metrics.confusion(label[index], guess[index], classes)

    statistics: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "accuracy": lambda i: float(right[i].mean()),
        "balanced_accuracy": lambda i: float(np.nanmean(metrics.per_class(table(i)).recall)),
        "f1_macro": lambda i: float(np.nanmean(metrics.per_class(table(i)).f1)),
        "log_loss": lambda i: float(losses[i].mean()),
        "brier": lambda i: float(errors[i].mean()),
        "ece": lambda i: metrics.calibration(label[i], p[i], rules.bins).ece,
        "roc_auc": auc.of,
    }
    alone = len(np.unique(rows.key)) == len(rows.key)
    out: dict[str, tuple[Interval, str]] = {}
    for name, statistic in statistics.items():
        if name == "accuracy" and alone:
            out[name] = (wilson(int(right.sum()), len(right), rules.confidence), "wilson")
            continue
        # The bias correction of BCa mistakes the upward bias of a calibration error for skewness.
        bca = name != "ece"
        found = bootstrap(
            statistic, len(label), confidence=rules.confidence, resamples=rules.resamples,
            seed=rules.seed, groups=None if alone else rows.key, bca=bca,
        )  # fmt: skip
        if np.isfinite([found.value, found.low, found.high]).all():
            out[name] = (found, "bootstrap BCa" if bca else "bootstrap percentile")
    return out


def slices(rows: Scored, class_names: Sequence[str], rules: Rules) -> tuple[Slice, ...]:
    """Return accuracy for all rows, for each class and for each origin."""
    everything = np.ones(len(rows.label), dtype=bool)
    parts = [("all", "all", everything)]
    parts += [("class", name, rows.label == k) for k, name in enumerate(class_names)]
    parts += [("origin", "base", ~rows.production), ("origin", "production", rows.production)]
    return tuple(_slice(name, value, rows.take(mask), rules) for name, value, mask in parts)


def _slice(name: str, value: str, rows: Scored, rules: Rules) -> Slice:
    n = len(rows.label)
    if n < max(1, rules.min_slice_rows):
        return Slice(name, value, n, None, None)
    right = int((metrics.predicted(rows.probabilities) == rows.label).sum())
    loss = metrics.log_loss(rows.label, rows.probabilities)
    return Slice(name, value, n, wilson(right, n, rules.confidence), loss)
