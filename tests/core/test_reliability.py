from __future__ import annotations

import math

import numpy as np
import pytest

from mlops.core import reliability


def test_calibration_of_a_hand_made_case() -> None:
    # Two rows at 0.9, one of them right: gap 0.4. Two rows at 0.6, both right: gap 0.4.
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    found = reliability.calibration(np.array([0, 1, 0, 0]), p, bins=10)
    assert found.ece == pytest.approx(0.4)
    assert found.rows.sum() == 4
    assert found.accuracy[8] == 0.5
    assert np.isnan(found.accuracy[0])


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_the_debiased_error_is_right_on_average_and_zero_where_the_plain_one_is_not(
    offset: float,
) -> None:
    rng = np.random.default_rng(0)
    debiased, plain = [], []
    for _ in range(400):
        confidence = rng.uniform(0.6, 0.9, 200)
        p = np.column_stack([confidence, 1.0 - confidence])
        labels = (rng.uniform(size=200) > confidence - offset).astype(np.int64)
        debiased.append(reliability.squared_error(labels, p, bins=10))
        plain.append(reliability.calibration(labels, p, bins=10).ece ** 2)
    # 4 standard errors of the mean of 400 errors.
    limit = float(4.0 * np.std(debiased) / 20.0)
    assert np.mean(debiased) == pytest.approx(offset**2, abs=limit)
    if offset == 0.0:
        assert np.mean(plain) > limit
    assert limit < 0.002


def test_the_debiased_error_of_one_row_is_unknown_and_never_negative() -> None:
    one = reliability.debiased_ece(np.array([0]), np.array([[0.8, 0.2]]), 10)
    assert math.isnan(one)
    # Four rows at 0.75, of which three are right: less error than chance would make.
    p = np.tile([0.75, 0.25], (4, 1))
    assert reliability.debiased_ece(np.array([0, 0, 0, 1]), p, 1) == 0.0
