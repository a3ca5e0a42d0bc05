"""Whether labels show a loss of accuracy beyond the margin, window by window, and when it is over.

One rule for `monitor` and `backtest`. Each window whose labels are here has a p-value: that of so
few right answers if no more than the margin were lost, against what the reference is certain to
reach. They add up as in `mlops.core.continuous`, so however often one looks, a loss that is within
the margin is called one no more often than the budget says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom, norm

from mlops.core.continuous import e_value, limit
from mlops.core.power import labels_needed
from mlops.core.triage import Accuracy, triage

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEVEL = 0.05
_LEAST_P = 1e-300

Counts = tuple[int, int]
"""Right answers and labels of a window."""


@dataclass(frozen=True)
class Promise:
    """What a version showed on its reference, and what may be lost of it.

    Attributes:
        accuracy: on the reference.
        labels: that it was measured on.
        margin: loss of accuracy that is worth a retrain.
        min_labels: fewest labels from which accuracy counts as measured.
    """

    accuracy: float
    labels: int
    margin: float
    min_labels: int


def least_accuracy(accuracy: float, labels: int) -> float:
    """Return the lower 95 % bound: what a few reference rows cannot promise is no loss.

    Source: Agresti and Coull, Approximate is better than exact for interval estimation of binomial
    proportions, 1998.

    Args:
        accuracy: on the reference.
        labels: of it, at least 1.
    """
    pulled = (accuracy * labels + 2) / (labels + 4)
    wide = float(norm.isf(_LEVEL)) * (pulled * (1 - pulled) / (labels + 4)) ** 0.5
    return float(pulled - wide)


def gathered(held: float, counts: Counts, least: float) -> float:
    """Return the evidence of a loss after a window, (held + 1) e.

    Args:
        held: evidence of the windows before it.
        counts: of the window, at least one label.
        least: accuracy that is no loss.
    """
    p = float(binom.cdf(*counts, min(max(least, 0.0), 1.0)))
    return (held + 1.0) * e_value(max(p, _LEAST_P))


def shown(told: Sequence[Counts], promise: Promise, rate: float) -> int | None:
    """Return the window with which a loss beyond the margin began; None if none is shown.

    The evidence must have reached its limit, and the windows since the loss began must be costly
    by `triage`: their accuracy with its interval beyond the margin, on enough labels.

    Args:
        told: of measured windows, oldest first, each with at least one label.
        promise: of the version that they are of.
        rate: budgeted false incidents per window.
    """
    least = least_accuracy(promise.accuracy, promise.labels) - promise.margin
    evidence = 0.0
    for counts in told:
        evidence = gathered(evidence, counts, least)
    return costly_since(told, promise) if told and evidence >= limit(rate) else None


def costly_since(told: Sequence[Counts], promise: Promise) -> int | None:
    """Return the window with which a loss began that is costly by `triage`; None if none is.

    Args:
        told: of measured windows, oldest first, at least one, each with at least one label.
        promise: of the version that they are of.
    """
    losses = [(n, labels, promise.accuracy - right / labels) for n, (right, labels) in
              enumerate(told)]  # fmt: skip
    since = began(losses, promise.margin)
    right, labels = total(told[since:])
    worth = triage(
        breaks=(), accuracy=Accuracy(right, labels, promise.accuracy), margin=promise.margin,
        min_labels=promise.min_labels,
    )  # fmt: skip
    return since if worth.kind == "costly" else None


def over(told: Sequence[Counts], promise: Promise, clear_after: int) -> bool:
    """Say whether later windows of the same version are within the margin again.

    Looked at from each of the last `clear_after` windows: the newest ones that together hold as
    many labels as would show a loss of the margin. A quiet window without labels says nothing.

    Args:
        told: of measured windows since the loss was shown, oldest first.
        promise: of the version.
        clear_after: windows in a row that must say so.
    """
    wanted = max(promise.min_labels, labels_needed(promise.accuracy, promise.margin))
    for end in range(len(told), len(told) - clear_after, -1):
        right = labels = 0
        for one in reversed(told[: max(end, 0)]):
            right, labels = right + one[0], labels + one[1]
            if labels >= wanted:
                break
        if labels < wanted or promise.accuracy - right / labels > promise.margin:
            return False
    return True


def total(told: Sequence[Counts]) -> Counts:
    """Return right answers and labels of windows together."""
    return sum(right for right, _ in told), sum(labels for _, labels in told)


def began(told: Sequence[tuple[int, int, float]], margin: float) -> int:
    """Return the window at which a loss beyond the margin began.

    The window after the last minimum of the cumulative sum of the losses less the margin, over
    labels: Page, Continuous inspection schemes, Biometrika 41, 1954.

    Args:
        told: place, labels and loss of measured windows, at least one.
        margin: loss that is borne.
    """
    beyond = np.array([labels * (loss - margin) for _, labels, loss in told])
    walk = np.concatenate([[0.0], np.cumsum(beyond)])
    # The last of equal minima; and at least the newest window belongs to it.
    low = len(walk) - 1 - int(np.argmin(walk[::-1]))
    return told[min(low, len(told) - 1)][0]
