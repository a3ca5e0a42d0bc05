from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import softmax

from mlops.core import metrics, temperature
from mlops.core.assessment import Rules, Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

RULES = Rules(confidence=0.95, resamples=200, seed=1, bins=10, min_slice_rows=5, top_k=3)


def sharpened(seed: int, n: int, factor: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels drawn from a softmax, and that softmax with its logits times `factor`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(n, 4))
    p = softmax(logits, axis=1)
    labels = (p.cumsum(axis=1) > rng.uniform(size=(n, 1))).argmax(axis=1)
    return labels, softmax(factor * logits, axis=1)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_factor_that_sharpened_the_logits_is_found(factor: float) -> None:
    labels, p = sharpened(0, 4000, factor)
    found = temperature.fit(labels, p, np.arange(4000, dtype=np.uint64), 0.95)
    assert found.value == pytest.approx(factor, rel=0.06)
    assert found.low < found.value < found.high


def test_the_interval_covers_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(300):
        labels, p = sharpened(seed, 150, 2.0)
        found = temperature.fit(labels, p, np.arange(150, dtype=np.uint64), 0.9)
        inside += found.low <= 2.0 <= found.high
    # 4 standard errors are 0.07.
    assert 0.83 <= inside / 300 <= 0.97


def test_rows_that_repeat_widen_the_interval_as_if_they_stood_once() -> None:
    labels, p = sharpened(3, 200, 2.0)
    keys = np.arange(200, dtype=np.uint64)
    once = temperature.fit(labels, p, keys, 0.95)
    thrice = temperature.fit(np.tile(labels, 3), np.tile(p, (3, 1)), np.tile(keys, 3), 0.95)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), rel=1e-3)


def test_a_perfect_model_has_no_finite_temperature_and_no_interval() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    found = temperature.fit(np.array([0, 1]), p, np.arange(2, dtype=np.uint64), 0.95)
    assert found.value == pytest.approx(temperature.COOLEST, rel=0.01)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_what_it_would_change_on_the_test_rows_is_reported() -> None:
    scored = []
    for seed in (1, 2):
        labels, p = sharpened(seed, 1500, 3.0)
        keys = np.arange(1500, dtype=np.uint64)
        scored.append(Scored(labels, p.astype(np.float32), keys, np.zeros(1500, dtype=bool)))
    test, validation = scored
    found = temperature.assess(test, validation, RULES)
    assert found.before["log_loss"] == metrics.log_loss(test.label, test.probabilities)
    assert found.after["log_loss"] < found.before["log_loss"] - 0.2
    assert found.after["ece"] < found.before["ece"] / 3
    assert found.log_loss.low < found.after["log_loss"] < found.log_loss.high
    scaled = temperature.rescale(test.probabilities, found.temperature.value)
    assert np.array_equal(scaled.argmax(axis=1), test.probabilities.argmax(axis=1))
    assert [one.name for one in found.measured()] == [
        "temperature", "log_loss_rescaled", "ece_rescaled",
    ]  # fmt: skip
