"""Metrics of a classifier, from labels and probabilities: numpy only.

Conventions: `labels` is int64 (N,) with values in 0 … K-1; `probabilities` is float (N, K), each
row summing to 1; N ≥ 1. A metric that the rows cannot answer is NaN, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64] | NDArray[np.float32]
    Labels = NDArray[np.int64]


def predicted(probabilities: Floats) -> NDArray[np.int64]:
    """Return the most probable class of each row, int64 (N,); the lowest index wins a tie."""
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def accuracy(labels: Labels, probabilities: Floats) -> float:
    """Return the share of rows whose most probable class is the label."""
    return float(np.mean(predicted(probabilities) == labels))


def confusion(labels: Labels, classes: Labels, count: int) -> NDArray[np.int64]:
    """Return counts (K, K): rows are labels, columns are the predicted `classes`, int64 (N,)."""
    flat = np.bincount(labels * count + classes, minlength=count * count)
    return flat.reshape(count, count).astype(np.int64)


@dataclass(frozen=True)
class PerClass:
    """One number per class, each float64 (K,); NaN where nothing was labelled or predicted so.

    Attributes:
        precision: share of the rows predicted as the class that are of it.
        recall: share of the rows of the class that were predicted as it.
        f1: harmonic mean of the two; 0 where one of them is 0, NaN where recall is.
        support: rows of the class.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]


def per_class(table: NDArray[np.int64]) -> PerClass:
    """Return precision, recall and F1 of each class from a confusion matrix (K, K)."""
    hits = np.diag(table).astype(np.float64)
    labelled, named = table.sum(axis=1), table.sum(axis=0)
    f1 = _ratio(2.0 * hits, labelled + named)
    f1[labelled == 0] = np.nan
    return PerClass(_ratio(hits, named), _ratio(hits, labelled), f1, labelled.astype(np.int64))


def balanced_accuracy(labels: Labels, probabilities: Floats) -> float:
    """Return the mean recall over the classes that occur among the labels."""
    table = confusion(labels, predicted(probabilities), probabilities.shape[1])
    return float(np.nanmean(per_class(table).recall))


def f1_macro(labels: Labels, probabilities: Floats) -> float:
    """Return the mean F1 over the classes that occur among the labels."""
    table = confusion(labels, predicted(probabilities), probabilities.shape[1])
    return float(np.nanmean(per_class(table).f1))


def row_log_loss(labels: Labels, probabilities: Floats) -> NDArray[np.float64]:
    """Return −ln p(label) of each row in nats, float64 (N,), finite: p is clipped at 1e-7.

    1e-7 is about float32's resolution at 1: a smaller probability says nothing more.
    """
    chosen = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return -np.log(np.clip(chosen.astype(np.float64), 1e-7, 1.0))


def log_loss(labels: Labels, probabilities: Floats) -> float:
    """Return the mean of `row_log_loss`, in nats."""
    return float(row_log_loss(labels, probabilities).mean())


def constant_log_loss(labels: Labels, classes: int) -> float:
    """Return the log loss, in nats, of always answering the classes' own shares: a floor."""
    shares = np.bincount(labels, minlength=classes) / len(labels)
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


def row_brier(labels: Labels, probabilities: Floats) -> NDArray[np.float64]:
    """Return the squared error of each row, summed over classes, float64 (N,), from 0 to 2."""
    truth = np.eye(probabilities.shape[1])[labels]
    errors: NDArray[np.float64] = ((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1)
    return errors


def brier(labels: Labels, probabilities: Floats) -> float:
    """Return the Brier score in its original form, the mean of `row_brier`.

    Source: G. W. Brier, Verification of forecasts expressed in terms of probability (1950).
    """
    return float(row_brier(labels, probabilities).mean())


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy, in bins of equal width; each array (B,).

    Attributes:
        edges: float64 (B + 1,): bin b holds confidences in (edges[b], edges[b + 1]].
        confidence: mean confidence of the bin; NaN if empty.
        accuracy: share of right answers in the bin; NaN if empty.
        rows: number of rows in the bin.
    """

    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    rows: NDArray[np.int64]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean gap of confidence and accuracy, weighted by rows."""
        filled = self.rows > 0
        gap = np.abs(self.confidence[filled] - self.accuracy[filled])
        return float((gap * self.rows[filled]).sum() / self.rows.sum())


def calibration(labels: Labels, probabilities: Floats, bins: int) -> Calibration:
    """Return how often the top answer is right, by its confidence.

    Source: Guo et al., On calibration of modern neural networks (2017).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (predicted(probabilities) == labels).astype(np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    rows = np.bincount(index, minlength=bins)
    return Calibration(
        edges,
        _ratio(np.bincount(index, confidence, minlength=bins), rows),
        _ratio(np.bincount(index, right, minlength=bins), rows),
        rows.astype(np.int64),
    )


class RocAuc:
    """Mean one-versus-rest area under the ROC curve, of many resamples of the same rows.

    Each class's area is the normalised Mann-Whitney U statistic, ties counting half (Hanley &
    McNeil 1982). The scores are sorted once; a resample only changes how often each row counts.

    Args:
        labels: int64 (N,).
        probabilities: float (N, K).
    """

    def __init__(self, labels: Labels, probabilities: Floats) -> None:
        self._order = np.argsort(probabilities, axis=0, kind="stable")
        ordered = np.take_along_axis(probabilities, self._order, axis=0)
        self._positive = labels[self._order] == np.arange(probabilities.shape[1])
        starts = np.ones(ordered.shape, dtype=bool)
        starts[1:] = ordered[1:] != ordered[:-1]
        # Where each run of tied scores begins, per class, in one flat list over all classes.
        self._runs = np.flatnonzero(starts.T)
        self._run_class = self._runs // len(labels)

    def of(self, rows: NDArray[np.int64] | None = None) -> float:
        """Return the mean area over the classes that occur among `rows`, with repetitions.

        NaN if fewer than two classes occur.
        """
        n, classes = self._order.shape
        counts = np.ones(n) if rows is None else np.bincount(rows, minlength=n).astype(np.float64)
        weights = counts[self._order]
        ones = np.add.reduceat((weights * self._positive).T.ravel(), self._runs)
        every = np.add.reduceat(weights.T.ravel(), self._runs)
        zeros = every - ones
        total = np.bincount(self._run_class, zeros, minlength=classes)
        before = np.cumsum(zeros) - zeros - (np.cumsum(total) - total)[self._run_class]
        u = np.bincount(self._run_class, ones * (before + zeros / 2.0), minlength=classes)
        positives = np.bincount(self._run_class, ones, minlength=classes)
        pairs = positives * total
        known = pairs > 0
        return float(np.mean(u[known] / pairs[known])) if known.any() else float("nan")


def roc_auc(labels: Labels, probabilities: Floats) -> float:
    """Return the mean one-versus-rest area under the ROC curve over the classes that occur."""
    return RocAuc(labels, probabilities).of()


def summary(labels: Labels, probabilities: Floats, bins: int) -> dict[str, float]:
    """Return every metric by name; those that the rows cannot answer are left out."""
    values = {
        "accuracy": accuracy(labels, probabilities),
        "balanced_accuracy": balanced_accuracy(labels, probabilities),
        "brier": brier(labels, probabilities),
        "ece": calibration(labels, probabilities, bins).ece,
        "f1_macro": f1_macro(labels, probabilities),
        "log_loss": log_loss(labels, probabilities),
        "roc_auc": roc_auc(labels, probabilities),
        "n": float(len(labels)),
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _ratio(top: NDArray[Any], bottom: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return top / bottom, NaN where the bottom is 0."""
    out = np.full(len(top), np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out
