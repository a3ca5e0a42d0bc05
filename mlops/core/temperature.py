"""Temperature scaling: by how much a model is too sure, and what it would gain by saying less.

Guo et al., On calibration of modern neural networks (2017), section 4.2. It is reported only: the
order of the classes stays, and so does the exported model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, ndtri, softmax

from mlops.core import metrics, reliability
from mlops.core.assessment import Measured
from mlops.core.intervals import Interval, bootstrap_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.assessment import Rules, Scored

    Floats = NDArray[np.float64] | NDArray[np.float32]

COOLEST, HOTTEST = 0.05, 20.0
"""Limits of a temperature; a fit that ends there has no interval."""
_SMALLEST = 1e-38  # float32's smallest normal number: below it a logarithm is noise


@dataclass(frozen=True)
class Rescaled:
    """What temperature scaling would do.

    Attributes:
        temperature: fitted on validation rows, with its interval.
        log_loss: on the test rows after it, in nats, with its interval.
        before: `log_loss`, `ece` and `ece_debiased` of the test rows as the model is.
        after: the same after it.
        curve: calibration of the test rows after it.
    """

    temperature: Interval
    log_loss: Interval
    before: dict[str, float]
    after: dict[str, float]
    curve: reliability.Calibration

    def measured(self) -> tuple[Measured, ...]:
        """Return its figures as metrics with their intervals."""
        ece = Interval(self.after["ece"], float("nan"), float("nan"))
        return (
            Measured("temperature", self.temperature, "sandwich"),
            Measured("log_loss_rescaled", self.log_loss, "bootstrap BCa"),
            Measured("ece_rescaled", ece, "no interval claimed"),
        )


def assess(test: Scored, validation: Scored, rules: Rules) -> Rescaled:
    """Fit the temperature on validation rows, at least one, and look at the test rows."""
    found = fit(validation.label, validation.probabilities, validation.key, rules.confidence)
    scaled = rescale(test.probabilities, found.value)
    loss_N = metrics.row_log_loss(test.label, scaled)
    (loss,) = bootstrap_all(
        lambda counts: np.array([counts @ loss_N / counts.sum()]), len(loss_N),
        confidence=rules.confidence, resamples=rules.resamples, seed=rules.seed, groups=test.key,
    )  # fmt: skip
    curve = reliability.calibration(test.label, scaled, rules.bins)
    figures = [_figures(test.label, p, rules.bins) for p in (test.probabilities, scaled)]
    return Rescaled(found, loss, figures[0], figures[1], curve)


def _figures(label_N: NDArray[np.int64], p_NK: Floats, bins: int) -> dict[str, float]:
    return {
        "log_loss": metrics.log_loss(label_N, p_NK),
        "ece": reliability.calibration(label_N, p_NK, bins).ece,
        "ece_debiased": reliability.debiased_ece(label_N, p_NK, bins),
    }


def fit(
    label_N: NDArray[np.int64], probability_NK: Floats, key_N: NDArray[np.uint64], confidence: float
) -> Interval:
    """Return the temperature that minimises the log loss, with its interval.

    Above 1 the model was too sure, below 1 too timid. The interval is that of an M-estimator with
    the sandwich variance, rows of one key summed (P. J. Huber 1967; H. White 1982); NaN where the
    fit ends at a limit.

    Args:
        label_N: int64, of rows that are not reported on: validation rows.
        probability_NK: float.
        key_N: uint64, equal for rows that resemble each other.
        confidence: coverage of the interval.
    """
    z_NK = _logits(probability_NK)
    z_N = np.take_along_axis(z_NK, label_N[:, None], axis=1)[:, 0]

    def loss(log_t: float) -> float:
        # The label's row of the softmax, with everything in one pass.
        scaled = log_softmax(z_NK * np.exp(-log_t), axis=1)
        return float(-np.take_along_axis(scaled, label_N[:, None], axis=1).mean())

    limits = (np.log(COOLEST), np.log(HOTTEST))
    found = float(minimize_scalar(loss, bounds=limits, method="bounded",
                                  options={"xatol": 1e-6}).x)  # fmt: skip
    value, nan = float(np.exp(found)), float("nan")
    if min(found - limits[0], limits[1] - found) < 1e-3:
        return Interval(value, nan, nan)
    p_NK = softmax(z_NK / value, axis=1)
    mean_N = (p_NK * z_NK).sum(axis=1)
    # By β = 1/T: the slope of a row's loss, and the curvature of their sum.
    slope = np.bincount(np.unique(key_N, return_inverse=True)[1], mean_N - z_N)
    curvature = float(((p_NK * z_NK**2).sum(axis=1) - mean_N**2).sum())
    if curvature <= 0.0:  # so sure of every row that no temperature changes its loss
        return Interval(value, nan, nan)
    half = float(ndtri(0.5 + confidence / 2.0) * np.sqrt((slope**2).sum()) / curvature)
    beta = 1.0 / value
    return Interval(value, 1.0 / (beta + half), 1.0 / (beta - half) if half < beta else nan)


def rescale(probability_NK: Floats, temperature: float) -> NDArray[np.float64]:
    """Return softmax(logits / temperature), float64 (N, K); the order of the classes stays."""
    return np.asarray(softmax(_logits(probability_NK) / temperature, axis=1))


def _logits(probability_NK: Floats) -> NDArray[np.float64]:
    """Return the logits up to a constant per row, which a softmax does not see."""
    return np.asarray(np.log(np.maximum(probability_NK.astype(np.float64), _SMALLEST)))
