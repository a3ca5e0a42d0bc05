"""Importances of models whose workings are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops.core.importance import permuted, shapley

NAMES = ("strong", "weak", "nothing")


def linear(row_ND: np.ndarray) -> np.ndarray:
    return np.asarray(3.0 * row_ND[:, 0] + row_ND[:, 1], dtype=np.float32)[:, None]


def squares(label: np.ndarray, answer: np.ndarray) -> np.ndarray:
    return np.asarray((answer[:, 0] - label) ** 2, dtype=np.float64)


def test_shuffling_costs_twice_the_variance_that_a_column_gives() -> None:
    row = np.random.default_rng(0).normal(size=(3000, 3))
    keys = np.arange(3000, dtype=np.uint64)
    asked: dict[str, Any] = {"confidence": 0.95, "resamples": 200, "seed": 1}
    found = permuted(row, linear(row)[:, 0], keys, NAMES, linear, squares, **asked)
    assert [one.name for one in found] == ["strong", "weak", "nothing"]
    # E (a - b)² of two independent values is twice their variance: 2 · 3² and 2 · 1².
    assert found[0].rise.value == pytest.approx(18.0, rel=0.1)
    assert found[1].rise.value == pytest.approx(2.0, rel=0.1)
    assert found[0].rise.low < found[0].rise.value < found[0].rise.high
    assert (found[2].rise.value, found[2].rise.low, found[2].rise.high) == (0.0, 0.0, 0.0)
    again = permuted(row, linear(row)[:, 0], keys, NAMES, linear, squares, **asked)
    assert again == found


def test_shapley_values_of_a_linear_model_are_its_terms() -> None:
    rng = np.random.default_rng(2)
    background = rng.normal(size=(2000, 3))
    row = np.array([[1.0, 2.0, 5.0], [-1.0, 0.0, 5.0]])
    found = shapley(row, background, lambda x, _: linear(x)[:, 0].astype(float), seed=3)
    assert found[:, 0] == pytest.approx([3.0, -3.0], abs=2.0)
    assert found[0, 0] - found[1, 0] == pytest.approx(6.0, abs=3.0)
    assert np.abs(found[:, 2]).max() == pytest.approx(0.0, abs=1e-5)


def test_attributions_add_up_and_an_interaction_is_shared() -> None:
    row, background = np.ones((1, 2)), np.zeros((1, 2))
    found = shapley(row, background, lambda x, _: x[:, 0] * x[:, 1] + 2.0 * x[:, 1], seed=0)
    # The product is worth 1 to both together: half each, as both orders are walked.
    assert found[0] == pytest.approx([0.5, 2.5])
    assert found.sum() == pytest.approx(3.0)
