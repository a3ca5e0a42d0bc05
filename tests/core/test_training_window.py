"""The training window: which rows train, and with which weight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core.training_window import Chosen, Window, choose, effective_rows

_DAY = 86_400.0
_NAN = float("nan")
# Two base rows without a time, one with; then four of production, the last the newest.
_DAYS = np.array([_NAN, _NAN, 0.0, 10.0, 20.0, 29.0, 30.0])
_PRODUCTION = np.array([False, False, False, True, True, True, True])
_KEY = np.array([9, 1, 5, 6, 7, 8, 2], np.uint64)


def _choose(window: Window) -> Chosen:
    return choose(window, _DAYS * _DAY, _PRODUCTION, _KEY)


@pytest.mark.parametrize(
    ("window", "rows"),
    [
        (Window(), [0, 1, 2, 3, 4, 5, 6]),
        (Window("sliding", days=10.0), [4, 5, 6]),
        (Window("sliding", days=9.9), [5, 6]),
        (Window("sliding", rows=4), [3, 4, 5, 6]),
        (Window("sliding", days=10.0, rows=2), [5, 6]),
        (Window("sliding", days=1e6), [2, 3, 4, 5, 6]),
        # Among rows without a time the hash decides, not the order of the source.
        (Window("sliding", days=1e6, min_rows=6), [1, 2, 3, 4, 5, 6]),
        (Window("sliding", days=1.0, min_rows=100), [0, 1, 2, 3, 4, 5, 6]),
        (Window("production"), [3, 4, 5, 6]),
        (Window("production", min_rows=5), [2, 3, 4, 5, 6]),
        (Window("weighted", half_life_days=10.0), [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_policy_takes_the_rows_it_names(window: Window, rows: list[int]) -> None:
    chosen = _choose(window)
    assert chosen.index.tolist() == rows
    assert chosen.index.dtype == np.int64
    assert len(chosen.weight) == len(rows)
    if window.policy != "weighted":
        assert np.array_equal(chosen.weight, np.ones(len(rows)))


def test_a_row_a_half_life_older_weighs_half() -> None:
    weight = _choose(Window("weighted", half_life_days=10.0)).weight
    assert weight.mean() == pytest.approx(1.0)
    assert weight[4] / weight[6] == pytest.approx(0.5)
    assert weight[3] / weight[6] == pytest.approx(0.25)
    # A row without a time counts as the oldest that has one.
    assert weight[0] == weight[1] == weight[2] == pytest.approx(weight[6] / 8.0)


def test_where_nothing_tells_rows_apart_all_train_and_the_words_say_why() -> None:
    timeless, base = np.full(3, _NAN), np.zeros(3, np.bool_)
    key = np.arange(3, dtype=np.uint64)
    for window, why in (
        (Window("sliding", days=1.0), "none has a time"),
        (Window("weighted"), "none has a time"),
        (Window("production"), "none is of production yet"),
    ):
        chosen = choose(window, timeless, base, key)
        assert chosen.index.tolist() == [0, 1, 2]
        assert np.array_equal(chosen.weight, np.ones(3))
        assert why in chosen.words


def test_the_words_carry_the_figures() -> None:
    assert _choose(Window()).words == "all 7 rows"
    words = _choose(Window("production", min_rows=5)).words
    assert (
        words == "4 rows of production, of 7, and 1 older ones up to training_window.min_rows = 5"
    )
    # (Σw)²/Σw² = 49 / 11.7, of the weights 1/8 ×3, 1/4, 1/2, 2^-0.1 and 1, scaled to mean 1.
    assert "worth 4 equal ones" in _choose(Window("weighted", half_life_days=10.0)).words


def test_kish_counts_equal_rows_fully_and_one_heavy_row_once() -> None:
    assert effective_rows(np.ones(8)) == 8.0
    assert effective_rows(np.array([1.0, 0.0, 0.0])) == 1.0


@given(
    days=st.lists(st.one_of(st.just(_NAN), st.floats(0.0, 1e4)), min_size=1, max_size=30),
    policy=st.sampled_from(["all", "sliding", "weighted", "production"]),
    least=st.integers(1, 40),
    half_life=st.floats(1.0, 1e3),
)
def test_laws(days: list[float], policy: str, least: int, half_life: float) -> None:
    total = len(days)
    production = np.arange(total) % 2 == 0
    window = Window(policy, days=half_life, half_life_days=half_life, min_rows=least)  # type: ignore[arg-type]
    chosen = choose(window, np.array(days) * _DAY, production, np.arange(total, dtype=np.uint64))
    assert len(chosen.index) >= min(least, total)
    assert np.array_equal(chosen.index, np.unique(chosen.index))
    assert (chosen.weight >= 0.0).all()
    assert chosen.weight.mean() == pytest.approx(1.0)
