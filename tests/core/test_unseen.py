"""Bounds that know of rows that were not seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlops.core.unseen import below, cautious_bounds

ALPHA = 0.025


def keys(rows: int, each: int = 1) -> np.ndarray:
    return (np.arange(rows) // each).astype(np.uint64)


@pytest.mark.parametrize("rows", [12, 60, 300])
def test_rows_that_never_differ_are_bounded_by_what_could_have_gone_unseen(rows: int) -> None:
    bounds = cautious_bounds(np.zeros(rows), keys(rows), (-2.0, 1.0), ALPHA)
    share = 1.0 - ALPHA ** (1.0 / rows)  # Clopper and Pearson: none of so many rows
    assert bounds.lower == pytest.approx(-2.0 * share, rel=0.01)
    assert bounds.upper == pytest.approx(share, rel=0.01)


def test_it_is_the_quantile_of_the_mean_under_exponential_weights() -> None:
    rng = np.random.default_rng(0)
    value_N = rng.exponential(1.0, 40)
    bounds = cautious_bounds(value_N, keys(40), (-3.0, 9.0), ALPHA)
    weight_RN = rng.standard_exponential((40_000, 41))
    mean_R = weight_RN @ np.append(value_N, -3.0) / weight_RN.sum(axis=1)
    assert (mean_R <= bounds.lower).mean() == pytest.approx(ALPHA, abs=0.004)


def test_many_rows_have_students_interval() -> None:
    value_N = np.random.default_rng(1).normal(0.2, 1.0, 50_000)
    bounds = cautious_bounds(value_N, keys(50_000), (-5.0, 5.0), ALPHA)
    student = stats.t.interval(0.95, 49_999, value_N.mean(), stats.sem(value_N))
    assert bounds.lower == pytest.approx(student[0], abs=3e-4)
    assert bounds.upper == pytest.approx(student[1], abs=3e-4)


def test_copies_prove_no_more_than_the_originals() -> None:
    value_N = np.random.default_rng(2).normal(size=50)
    alone = cautious_bounds(value_N, keys(50), (-4.0, 4.0), ALPHA)
    copied = cautious_bounds(np.repeat(value_N, 6), keys(300, 6), (-4.0, 4.0), ALPHA)
    assert (copied.lower, copied.upper) == pytest.approx((alone.lower, alone.upper))
    assert copied.one is not None
    assert alone.one is not None
    assert copied.one.variance == pytest.approx(6.0 * alone.one.variance)
    assert copied.one.worst == pytest.approx(6.0 * alone.one.worst)
    assert copied.one.doubt == pytest.approx(alone.one.doubt)
    assert copied.design_effect == pytest.approx(6.0, rel=0.05)


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_rows_that_are_all_at_an_end_stay_within_it(value: float) -> None:
    bounds = cautious_bounds(np.full(30, value), keys(30), (-1.0, 1.0), ALPHA)
    assert -1.0 <= bounds.lower <= value <= bounds.upper <= 1.0
    assert bounds.upper - bounds.lower > 0.1


def test_one_key_and_an_endless_worst_bound_nothing() -> None:
    for key_N, span in ((np.zeros(9, np.uint64), (-1.0, 1.0)), (keys(9), (-np.inf, np.inf))):
        bounds = cautious_bounds(np.ones(9), key_N, span, ALPHA)
        assert (bounds.lower, bounds.upper) == (-np.inf, np.inf)


@pytest.mark.parametrize("each", [1, 5])
@pytest.mark.parametrize("share", [0.01, 0.02, 0.2])
def test_a_loss_on_few_rows_is_not_passed_because_none_was_seen(share: float, each: int) -> None:
    rng, rows, margin, passed, trials = np.random.default_rng(3), 60, 0.1, 0, 150
    for _ in range(trials):
        hit_N = np.repeat(rng.random(rows // each) < share, each)
        value_N = np.where(hit_N, -margin / share, 0.0)
        passed += cautious_bounds(value_N, keys(rows, each), (-16.0, 16.0), ALPHA).lower > -margin
    assert passed <= stats.binom.isf(0.001, trials, ALPHA)


def test_the_mean_itself_has_about_even_odds() -> None:
    gap_N = np.array([-1.0, 1.0, -2.0, 2.0])
    assert below(gap_N) == pytest.approx(0.0, abs=1e-6)
