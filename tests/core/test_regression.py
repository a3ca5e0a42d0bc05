from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from mlops.core import regression


@pytest.mark.parametrize("seed", [0, 1])
def test_metrics_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(3.0, 2.0, 300)
    predicted = target + rng.normal(0.2, 0.7, 300)
    found = regression.summary(target, predicted)
    expected = {
        "mae": sk.mean_absolute_error(target, predicted),
        "mape": sk.mean_absolute_percentage_error(target, predicted),
        "mse": sk.mean_squared_error(target, predicted),
        "r2": sk.r2_score(target, predicted),
        "rmse": sk.root_mean_squared_error(target, predicted),
        "n": 300,
    }
    assert found == pytest.approx(expected)
    for q in (0.1, 0.5, 0.9):
        theirs = sk.mean_pinball_loss(target, predicted, alpha=q)
        assert regression.pinball(target, predicted, q) == pytest.approx(theirs)


def test_single_precision_loses_nothing_on_the_way() -> None:
    target = np.array([1e6, 1e6 + 1.0], dtype=np.float32)
    assert regression.mse(target, target + np.float32(0.5)) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("target", "missing"), [([0.0, 1.0, 2.0], {"mape"}), ([2.0, 2.0, 2.0], {"r2"})]
)
def test_what_has_no_answer_is_left_out(target: list[float], missing: set[str]) -> None:
    found = regression.summary(np.array(target), np.array([1.0, 1.0, 1.5]))
    assert {"mae", "mape", "mse", "r2", "rmse", "n"} - set(found) == missing


def test_coverage_counts_the_limits_and_refuses_crossed_quantiles() -> None:
    target = np.array([0.0, 1.0, 2.0, 3.0])
    low, high = np.array([0.0, 1.5, -math.inf, 4.0]), np.array([0.5, 2.0, 2.0, 5.0])
    assert regression.coverage(target, low, high) == 0.5
    with pytest.raises(ValueError, match="4 of 4 intervals have low > high"):
        regression.coverage(target, high + 1.0, low)
