"""Whether probabilities mean what they say: the calibration curve and its error.

Conventions as in `mlops.core.metrics`: `labels` is int64 (N,), `probabilities` float (N, K).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64] | NDArray[np.float32]
    Labels = NDArray[np.int64]


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
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    rows = np.bincount(index, minlength=bins)
    return Calibration(
        edges,
        ratio(np.bincount(index, confidence, minlength=bins), rows),
        ratio(np.bincount(index, right, minlength=bins), rows),
        rows.astype(np.int64),
    )


def debiased_ece(labels: Labels, probabilities: Floats, bins: int) -> float:
    """Return the debiased calibration error of the top answer: 0 on average where it is 0.

    The plug-in error grows as rows get fewer, for chance alone moves a bin's accuracy. So this
    takes each bin's variance off its squared gap, and is the root of the mean of what remains; 0
    where that is negative. Bins hold equal numbers of rows, at least two each.

    No interval is claimed for it: its bootstrap adds the bias back.
    Sources: Kumar, Liang & Ma, Verified uncertainty calibration (2019), the debiased estimator
    of section 5; Roelofs et al., Mitigating bias in calibration error estimation (2022), for
    equal mass.
    """
    if len(labels) < 2:
        return float("nan")
    return float(np.sqrt(max(0.0, squared_error(labels, probabilities, bins))))


def squared_error(labels: Labels, probabilities: Floats, bins: int) -> float:
    """Return the unbiased estimate of the mean squared gap of `debiased_ece`; may be negative."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    total = 0.0
    for part in np.array_split(order, min(bins, len(order) // 2)):
        share, rows = right[part].mean(), len(part)
        gap = confidence[part].mean() - share
        total += rows * (gap**2 - share * (1.0 - share) / (rows - 1))
    return float(total / len(labels))


def ratio(top: NDArray[Any], bottom: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return top / bottom, NaN where the bottom is 0."""
    out = np.full(len(top), np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out
