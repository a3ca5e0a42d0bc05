from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlops.core.rounding import ALPHA, loss
from mlops.core.tango import cautious_tango


def _answers(chosen: list[int]) -> np.ndarray:
    return (0.8 * np.eye(3)[chosen] + 0.1).astype(np.float32)


def test_a_loss_of_accuracy_is_paired_and_has_tangos_bound() -> None:
    label = np.zeros(100, np.int64)
    before = _answers([0] * 90 + [1] * 10)
    after = _answers([0] * 86 + [2] * 4 + [1] * 9 + [0])  # four are lost, one is gained
    found = loss(before, after, label, np.arange(100, dtype=np.uint64), regression=False)
    assert found.rows == 100
    assert found.value == pytest.approx(0.03)
    assert found.upper == pytest.approx(-cautious_tango(1, 4, 100, ALPHA)[0])
    assert found.upper > 0.03
    assert found.agreement == pytest.approx(0.95)
    assert found.gap == pytest.approx(0.8, abs=1e-6)


def test_rows_of_one_key_are_one_row() -> None:
    label = np.zeros(100, np.int64)
    before, after = _answers([0] * 100), _answers([1] * 100)
    found = loss(before, after, label, np.arange(100, dtype=np.uint64) // 10, regression=False)
    assert (found.rows, found.value) == (10, 1.0)


def test_few_rows_show_little_even_where_both_agree() -> None:
    label = np.zeros(50, np.int64)
    same = _answers([0] * 50)
    found = loss(same, same, label, np.arange(50, dtype=np.uint64), regression=False)
    assert (found.value, found.agreement, found.gap) == (0.0, 1.0, 0.0)
    assert 0.03 < found.upper < 0.08


def test_a_regression_loses_a_share_of_its_error() -> None:
    rng = np.random.default_rng(0)
    label = rng.normal(0, 10, 200)
    error = rng.choice([-1.0, 1.0], 200)
    before = (label + error)[:, None] + np.array([-2.0, 0.0, 2.0])
    worse = error * rng.normal(0.1, 0.05, 200)  # a tenth more, on average
    after = before + worse[:, None]
    key = np.arange(200, dtype=np.uint64)
    found = loss(before.astype(np.float32), after.astype(np.float32), label, key, regression=True)
    assert found.value == pytest.approx(0.1, abs=0.01)
    per_row = np.abs(after[:, 1] - label) - np.abs(before[:, 1] - label)
    high = stats.ttest_1samp(per_row, 0.0).confidence_interval(1 - 2 * ALPHA).high
    assert found.upper == pytest.approx(high, rel=1e-3)
    assert found.agreement == 1.0
    one = loss(before[:1], after[:1], label[:1], key[:1], regression=True)
    assert one.upper == 1.0  # one row shows nothing
