"""Metrics of a classifier, from labels and probabilities: numpy only.

Conventions: `labels` is int64 (N,) with values in 0 … K-1; `probabilities` is float (N, K), each
row summing to 1; N ≥ 1. A metric that the rows cannot answer is NaN, never a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.ranking import Ranking
from mlops.core.reliability import calibration, debiased_ece, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64] | NDArray[np.float32]
    Labels = NDArray[np.int64]

_LEAST_P = 1e-7  # about float32's resolution at 1: a smaller probability says nothing more
MOST_LOG_LOSS = -math.log(_LEAST_P)
"""The greatest log loss that a row can have, in nats."""
MOST_BRIER = 2.0
"""The greatest squared error that a row can have, summed over classes."""


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
    f1 = ratio(2.0 * hits, labelled + named)
    f1[labelled == 0] = np.nan
    return PerClass(ratio(hits, named), ratio(hits, labelled), f1, labelled.astype(np.int64))


def balanced_accuracy(labels: Labels, probabilities: Floats) -> float:
    """Return the mean recall over the classes that occur among the labels."""
    table = confusion(labels, predicted(probabilities), probabilities.shape[1])
    return float(np.nanmean(per_class(table).recall))


def averages(table: NDArray[np.int64] | NDArray[np.float64]) -> dict[str, float]:
    """Return precision, recall and F1 of a confusion matrix (K, K), each `_macro` and `_weighted`.

    Over the classes that occur among the labels: the plain mean, and the mean weighted by their
    rows. The precision of a class that was never predicted counts as 0 here: nothing was found.
    """
    hits, labelled, named = np.diag(table).astype(np.float64), table.sum(axis=1), table.sum(axis=0)
    of_class = {
        "precision": hits / np.maximum(named, 1),
        "recall": hits / np.maximum(labelled, 1),
        "f1": 2.0 * hits / np.maximum(labelled + named, 1),
    }
    out = {}
    for name, value in of_class.items():
        out[f"{name}_macro"] = float(np.nanmean(np.where(labelled > 0, value, np.nan)))
        out[f"{name}_weighted"] = float((value * labelled).sum() / labelled.sum())
    return out


def f1_macro(labels: Labels, probabilities: Floats) -> float:
    """Return the mean F1 over the classes that occur among the labels."""
    table = confusion(labels, predicted(probabilities), probabilities.shape[1])
    return averages(table)["f1_macro"]


def place(labels: Labels, probabilities: Floats) -> NDArray[np.int64]:
    """Return how many classes the model ranks before the label, int64 (N,): 0 if it is right.

    Top-k accuracy is the share of rows below k. Ties go to the lower index, as in `predicted`.
    """
    chosen: NDArray[Any] = np.take_along_axis(probabilities, labels[:, None], axis=1)
    lower = np.arange(probabilities.shape[1]) < labels[:, None]
    before = np.greater(probabilities, chosen) | (np.equal(probabilities, chosen) & lower)
    return np.asarray(before.sum(axis=1), dtype=np.int64)


def row_log_loss(labels: Labels, probabilities: Floats) -> NDArray[np.float64]:
    """Return −ln p(label) of each row in nats, float64 (N,), finite: p is clipped at 1e-7."""
    chosen = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return -np.log(np.clip(chosen.astype(np.float64), _LEAST_P, 1.0))


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


def roc_auc(labels: Labels, probabilities: Floats) -> float:
    """Return the mean one-versus-rest area under the ROC curve over the classes that occur."""
    return Ranking(labels, probabilities).roc_auc()


def pr_auc(labels: Labels, probabilities: Floats) -> float:
    """Return the mean one-versus-rest average precision over the classes that occur."""
    return Ranking(labels, probabilities).pr_auc()


def summary(labels: Labels, probabilities: Floats, bins: int, top_k: int) -> dict[str, float]:
    """Return every metric by name; those that the rows cannot answer are left out.

    So are macro and weighted recall: they are the balanced accuracy and the accuracy. With
    `top_k` classes or fewer the top-k accuracy says nothing, and is left out too.
    """
    table = confusion(labels, predicted(probabilities), probabilities.shape[1])
    mean = averages(table)
    ranking = Ranking(labels, probabilities)
    values = {
        "accuracy": accuracy(labels, probabilities),
        "balanced_accuracy": mean["recall_macro"],
        "brier": brier(labels, probabilities),
        "ece": calibration(labels, probabilities, bins).ece,
        "ece_debiased": debiased_ece(labels, probabilities, bins),
        "f1_macro": mean["f1_macro"],
        "f1_weighted": mean["f1_weighted"],
        "log_loss": log_loss(labels, probabilities),
        "pr_auc": ranking.pr_auc(),
        "precision_macro": mean["precision_macro"],
        "precision_weighted": mean["precision_weighted"],
        "roc_auc": ranking.roc_auc(),
        "n": float(len(labels)),
    }
    if top_k < probabilities.shape[1]:
        values[f"top_{top_k}_accuracy"] = float((place(labels, probabilities) < top_k).mean())
    return {name: value for name, value in values.items() if np.isfinite(value)}
