from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlops.core.bounds import (
    accuracy_bounds,
    dependent,
    design_effect,
    mean_bounds,
    tango_over_keys,
)
from mlops.core.paired import Counts, count, one_per_key

ALPHA = 0.05


def test_copied_rows_count_once() -> None:
    rng = np.random.default_rng(3)
    single = rng.choice([-1, 0, 1], 80, p=[0.05, 0.75, 0.2]).astype(np.int64)
    key = np.arange(80, dtype=np.uint64)
    fivefold, keys = np.repeat(single, 5), np.repeat(key, 5)
    assert design_effect(fivefold.astype(float), keys) == pytest.approx(5.0, rel=0.05)
    assert count(one_per_key(fivefold, keys)) == count(single)
    alone = accuracy_bounds(single, key, alpha=ALPHA, resamples=500, seed=1)
    copied = accuracy_bounds(fivefold, keys, alpha=ALPHA, resamples=500, seed=1)
    assert copied.lower == pytest.approx(alone.lower, abs=0.02)
    assert copied.upper == pytest.approx(alone.upper, abs=0.02)
    assert count(single) == Counts(80, int((single > 0).sum()), int((single < 0).sum()))


def test_copies_of_equal_answers_prove_no_more_than_the_originals() -> None:
    none = np.zeros(400, dtype=np.int64)
    keys = np.repeat(np.arange(4, dtype=np.uint64), 100)
    bounds = accuracy_bounds(none, keys, alpha=ALPHA, resamples=500, seed=1)
    assert bounds.lower < -0.3


def test_one_key_bounds_nothing() -> None:
    bounds = mean_bounds(np.ones(9), np.zeros(9, np.uint64), alpha=0.05, resamples=500, seed=1)
    assert (bounds.lower, bounds.upper) == (-np.inf, np.inf)


def test_the_bounds_of_a_mean_cover_it_as_often_as_they_say() -> None:
    rng, missed = np.random.default_rng(11), 0
    keys = np.repeat(np.arange(60, dtype=np.uint64), 2)
    for seed in range(150):
        values = np.repeat(rng.exponential(1.0, 60), 2) + rng.normal(0.0, 0.1, 120)
        bounds = mean_bounds(values, keys, alpha=0.1, resamples=500, seed=seed)
        missed += not bounds.lower <= 1.0 <= bounds.upper
    assert missed <= stats.binom.isf(0.001, 150, 0.2)


def test_dependent_rows_do_not_promote_more_often_than_alpha() -> None:
    rng, promoted, trials = np.random.default_rng(5), 0, 200
    keys = np.repeat(np.arange(50, dtype=np.uint64), 3)
    for seed in range(trials):
        shared = rng.choice([-1, 0, 1], 50, p=[0.13, 0.74, 0.13])
        own = rng.choice([-1, 0, 1], (50, 3), p=[0.05, 0.9, 0.05])
        difference = np.where(rng.random((50, 3)) < 0.8, shared[:, None], own).ravel()
        bounds = accuracy_bounds(
            difference.astype(np.int64), keys, alpha=ALPHA, resamples=500, seed=seed
        )
        promoted += bounds.lower > 0.0
    assert promoted <= stats.binom.isf(0.001, trials, ALPHA)


def test_rows_of_one_key_or_one_stretch_of_time_hang_together() -> None:
    key = np.array([7, 8, 7, 9, 10], dtype=np.uint64)
    at_s = np.array([0.0, 50.0, 130.0, 140.0, 500.0])
    assert dependent(key, at_s, 0.0) is key
    unit = dependent(key, at_s, 60.0)
    # Rows 0 and 1 share a minute, 0 and 2 a key, 2 and 3 a minute; 4 stands alone.
    assert len(set(unit[:4].tolist())) == 1
    assert unit[4] != unit[0]
    assert dependent(key[:0], at_s[:0], 60.0).shape == (0,)


def _promoted(
    rng: np.random.Generator, key: np.ndarray, unit: np.ndarray, discordance: float, margin: float
) -> bool:
    """Draw rows at the margin's boundary that are alike in a unit; ask if they pass."""
    win, shared = (discordance - margin) / 2.0, [discordance, 1.0 - discordance]
    sign = np.where(rng.random(len(key)) < win / discordance, 1, -1)
    whole = rng.choice([1, 0], unit.max() + 1, p=shared)[unit] * sign[unit]
    own = rng.choice([1, 0], len(key), p=shared) * sign
    difference = np.where(rng.random(len(key)) < 0.9, whole, own).astype(np.int64)
    return tango_over_keys(difference, key.astype(np.uint64), ALPHA)[0] > -margin


def test_keys_that_are_lost_whole_but_seldom_are_not_taken_for_independent_rows() -> None:
    rng, trials, promoted = np.random.default_rng(2), 400, 0
    sizes = np.array([40] * 5 + [4] * 15 + [1] * 40)
    key = np.repeat(np.arange(len(sizes)), sizes)
    for _ in range(trials):
        promoted += _promoted(rng, key, key, discordance=0.05, margin=0.03)
    assert promoted <= stats.binom.isf(0.001, trials, ALPHA)


def test_dependence_across_the_edge_of_a_block_is_accounted_for() -> None:
    rng, trials, promoted, rows = np.random.default_rng(3), 1000, 0, np.arange(3000)
    unit = dependent(rows.astype(np.uint64), rows.astype(np.float64), 10.0)
    for _ in range(trials):
        stretch = (rows + rng.integers(10)) // 10  # ten rows are alike, wherever they begin
        promoted += _promoted(rng, unit, stretch, discordance=0.3, margin=0.0)
    assert promoted <= stats.binom.isf(0.001, trials, ALPHA)


def test_few_blocks_bound_nothing_and_many_are_of_equal_length() -> None:
    at_s = np.arange(1000.0)
    key = np.arange(1000, dtype=np.uint64)
    assert len(np.unique(dependent(key[:300], at_s[:300], 100.0))) == 1
    _, sizes = np.unique(dependent(key, at_s, 10.0), return_counts=True)
    assert sizes.max() - sizes.min() <= 1
    assert 10.0 * 2 <= sizes.min() <= 10.0 * 6
    assert len(np.unique(dependent(key, np.zeros(1000), 10.0))) == 1
