"""Accuracy without labels: an estimate from the model's own confidence, never a measurement.

It is blind to concept shift, and wrong where the model is confidently wrong. So it may raise or
escalate an incident, and never closes or downgrades one; every estimate is held against the truth
when labels arrive. A regression has no confidence: its coverage is estimated by
`mlops.core.direct_miss`, and its mean absolute error by `mlops.core.direct_error`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.amounts import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Z95 = 1.96
"""Standard deviations on either side of an interval of 95 %."""
MEAN_ERROR = "mean absolute error"
"""What is told of a regression beside its coverage."""
_LEAST = 30  # labelled reference rows from which the confidence of a right answer is known


@dataclass(frozen=True)
class Estimate:
    """An estimated accuracy, or of a regression its coverage, with an interval of 95 %."""

    value: float
    low: float
    high: float

    def holds(self, truth: float) -> bool:
        """Say whether what was measured later lies in the interval."""
        return self.low <= truth <= self.high


@dataclass(frozen=True)
class ErrorEstimate:
    """An estimated mean absolute error, in the target's own unit, with an interval of 95 %.

    Attributes:
        value: it, of the rows that the reference can speak for.
        low: of the interval.
        high: of it; None where rows lie beyond the reference: nothing says how wrong those are.
    """

    value: float
    low: float
    high: float | None

    def __str__(self) -> str:
        """Return it in words; without an upper end only what is known: the lower one."""
        if self.high is None:
            return f"at least {number(self.low)}"
        return f"{number(self.value)} ({number(self.low)} to {number(self.high)})"

    def holds(self, truth: float) -> bool:
        """Say whether what was measured later lies in the interval."""
        return self.low <= truth and (self.high is None or truth <= self.high)


@dataclass(frozen=True)
class Confidence:
    """How confidence goes with accuracy on the reference.

    Attributes:
        threshold: the share of reference rows below it is the share of wrong answers.
        mean: mean confidence.
        accuracy: share of right answers.
        rows: labelled reference rows.
    """

    threshold: float
    mean: float
    accuracy: float
    rows: int


@dataclass(frozen=True)
class Score:
    """Estimates held against the truth.

    Attributes:
        windows: how many had both.
        error: mean absolute difference.
        covered: share of the windows whose measured figure lay in the interval.
    """

    windows: int
    error: float
    covered: float


def basis(measure: str) -> str:
    """Return what an estimate rests on, in words.

    Args:
        measure: what is estimated: `accuracy`, or of a regression `coverage`.
    """
    if measure == "coverage":
        return "from where the version missed on its reference"
    return "from confidence alone"


def fit(probabilities: NDArray[np.float32], label: NDArray[np.int64]) -> Confidence | None:
    """Learn from labelled reference rows; None with too few of them.

    Args:
        probabilities: (N, K), sound rows.
        label: (N,); negative where there is none.
    """
    known = label >= 0
    if known.sum() < _LEAST:
        return None
    shown = probabilities[known].astype(np.float64)
    sure, right = shown.max(axis=1), shown.argmax(axis=1) == label[known]
    threshold = float(np.quantile(sure, 1 - right.mean(), method="higher"))
    return Confidence(threshold, float(sure.mean()), float(right.mean()), len(right))


def estimate(known: Confidence, probabilities: NDArray[np.float32]) -> Estimate | None:
    """Estimate the accuracy on unlabelled rows; None without rows.

    The value is average thresholded confidence: the share of rows above the reference's threshold
    (Garg et al., Leveraging unlabeled data to predict out-of-distribution performance, 2022). The
    interval spans it and the difference of confidences (Guillory et al., Predicting with
    confidence on unseen distributions, 2021), each with the sampling noise of both sides: where
    the two disagree, neither can be trusted to more.
    """
    rows = len(probabilities)
    if not rows:
        return None
    sure = probabilities.astype(np.float64).max(axis=1)
    above = float((sure >= known.threshold).mean())
    moved = known.accuracy + float(sure.mean()) - known.mean
    both = [above, min(max(moved, 0.0), 1.0)]
    noise = [Z95 * np.sqrt(variance(v, rows) + variance(known.accuracy, known.rows)) for v in both]
    low = min(v - by for v, by in zip(both, noise, strict=True))
    high = max(v + by for v, by in zip(both, noise, strict=True))
    return Estimate(above, max(float(low), 0.0), min(float(high), 1.0))


def score(pairs: Sequence[tuple[Estimate | ErrorEstimate, float]]) -> Score | None:
    """Hold estimates against what was measured later; None where there is nothing to compare."""
    if not pairs:
        return None
    error = float(np.mean([abs(told.value - truth) for told, truth in pairs]))
    covered = float(np.mean([told.holds(truth) for told, truth in pairs]))
    return Score(len(pairs), error, covered)


def variance(share: float, rows: float) -> float:
    """Return the variance of a share of rows, kept from zero as Agresti and Coull (1998) do."""
    pulled = (share * rows + 2) / (rows + 4)
    return pulled * (1 - pulled) / (rows + 4)
