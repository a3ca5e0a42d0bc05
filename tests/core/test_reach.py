"""Rows that a bound needs: at them, a true difference is shown with the power asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import special, stats

from mlops.core import influence
from mlops.core.primary_error import errors_needed
from mlops.core.reach import Spread, power_at, reached, rows_needed, spread
from mlops.core.unseen import below, cautious_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA, POWER = 0.025, 0.8


@pytest.mark.parametrize(("error", "unseen"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.1, 2.0)])
def test_a_reach_is_that_of_a_normal_and_an_exponential_variable(
    error: float, unseen: float
) -> None:
    rng = np.random.default_rng(1)
    drawn = error * rng.standard_normal(200_000) + unseen * rng.standard_exponential(200_000)
    assert (drawn > reached(error, unseen, 0.025)).mean() == pytest.approx(0.025, abs=0.0015)


def test_without_a_worst_the_rows_are_the_textbooks() -> None:
    z = stats.norm.isf(0.025) + stats.norm.ppf(0.8)
    assert rows_needed(Spread(0.2), 0.05, 0.025, 0.8) == int(np.ceil(z**2 * 0.2 / 0.05**2))
    assert rows_needed(Spread(0.2), 5.0, 0.025, 0.8) == 1


def test_doubt_of_the_variance_asks_for_more_and_is_averaged_over() -> None:
    """Where the variance was guessed too low as often as too high, the planned power is a mean."""
    known, doubtful = Spread(1.0), Spread(1.0, doubt=0.5)
    rows = rows_needed(doubtful, 0.1, ALPHA, POWER)
    assert rows > 1.1 * rows_needed(known, 0.1, ALPHA, POWER)
    rng = np.random.default_rng(0)
    variance = np.exp(0.5**2 / 2 + 0.5 * rng.standard_normal(100_000))
    error = np.sqrt(variance / rows)
    power = special.ndtr(0.1 / error + special.ndtri(ALPHA)).mean()
    assert power == pytest.approx(POWER, abs=0.005)
    assert power_at(doubtful, rows, 0.1, ALPHA) == pytest.approx(power, abs=0.005)


def test_rows_say_their_variance_as_if_the_farthest_were_there_twice() -> None:
    off_G = np.array([-1.0] * 9 + [9.0])
    one = spread(off_G, 10, worst=2.0, scarcity=0.0)
    assert one.variance == pytest.approx((90.0 + 81.0) / 9.0)
    kurtosis = 10 * (9.0 + 9.0**4) / 90.0**2
    assert one.doubt == pytest.approx(np.sqrt((kurtosis - 1.0) / 9))
    assert spread(np.array([-1.0, 1.0]), 2, 2.0, 0.0).doubt == pytest.approx(np.sqrt(2.0))
    tiny = spread(1e-200 * off_G, 10, 2.0, 0.0)
    assert tiny.doubt == pytest.approx(one.doubt)
    assert spread(np.zeros(9), 9, 2.0, 0.0) == Spread(0.0, 2.0)


def heavy(rng: np.random.Generator, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw errors of two models, whose tails are heavy: the candidate's are a tenth smaller."""
    first, other = rng.standard_normal((2, rows))
    second = 0.5 * first + np.sqrt(0.75) * other
    return 0.9 * np.abs(np.sinh(1.2 * second)), np.abs(np.sinh(1.2 * first))


def test_a_hundred_rows_of_heavy_tailed_errors_ask_for_enough_more() -> None:
    """With their variance as it stands the power was .70."""
    rng, trials, shown, asked = np.random.default_rng(1), 400, 0, []
    for _ in range(trials):
        rows = errors_needed(
            *heavy(rng, 100), np.arange(100, dtype=np.uint64), alpha=ALPHA, power=POWER,
            effect=0.1, margin=0.0,
        )  # fmt: skip
        asked.append(rows)
        ours_N, theirs_N = heavy(rng, rows)
        gap_N = (theirs_N - ours_N) / theirs_N.mean()
        shown += int(below(np.append(gap_N, -5.0)) < special.ndtri(ALPHA))
    assert shown >= stats.binom.ppf(0.001, trials, POWER - 0.015)
    known = errors_needed(
        *heavy(rng, 200_000), np.arange(200_000, dtype=np.uint64), alpha=ALPHA, power=POWER,
        effect=0.1, margin=0.0,
    )  # fmt: skip
    assert 0.8 < np.median(asked) / known < 1.4


def test_rows_of_one_key_ask_for_as_many_as_if_each_further_row_were_one() -> None:
    rng, rows = np.random.default_rng(3), 400
    theirs_N = np.abs(rng.standard_normal(rows))
    ours_N = theirs_N * rng.uniform(0.8, 1.2, rows)
    how = partial(errors_needed, ours_N, theirs_N, alpha=ALPHA, power=POWER, effect=0.05, margin=0)
    apart = how(np.arange(rows, dtype=np.uint64))
    assert how(np.zeros(rows, dtype=np.uint64)) > 50 * apart


def test_a_class_that_comes_in_whole_keys_has_fewer_of_them() -> None:
    rng = np.random.default_rng(4)
    whole_N = np.repeat(rng.random(5000) < 0.1, 10)
    key_N = np.repeat(np.arange(5000, dtype=np.uint64), 10)
    value_N = rng.standard_normal(50_000)
    found = cautious_bounds(value_N, key_N, (-9.0, 9.0), ALPHA, whole_N)
    mixed = cautious_bounds(value_N, key_N, (-9.0, 9.0), ALPHA, rng.permutation(whole_N))
    assert found.one is not None
    assert mixed.one is not None
    assert found.one.scarcity == pytest.approx(np.sqrt(10.0) * mixed.one.scarcity, rel=0.05)


def test_a_rarer_class_may_have_fewer_rows_than_planned() -> None:
    """Its rows' number decides what the worst row weighs: planned without, the power was .72."""
    rng, shown, trials, margin = np.random.default_rng(2), 0, 300, 0.05

    def bound(rows: int) -> tuple[Spread, float]:
        label_N = (rng.random(rows) < 0.1).astype(np.int64)
        shared_N = 0.9 * rng.standard_normal(rows) + 3.0 * label_N
        first, second = (
            special.expit(shared_N + 0.4 * rng.standard_normal(rows)) for _ in range(2)
        )
        answer = [np.column_stack([1.0 - p, p]).astype(np.float32) for p in (first, second)]
        parts = influence.roc_auc(label_N, *answer)
        key_N = np.arange(rows, dtype=np.uint64)
        found = cautious_bounds(parts.value, key_N, parts.span, ALPHA, parts.rarest)
        assert found.one is not None
        return found.one, found.lower

    one, _ = bound(50_000)
    assert one.scarcity == pytest.approx(3.0, rel=0.05)
    rows = rows_needed(one, margin, ALPHA, POWER)
    for _ in range(trials):
        shown += bound(rows)[1] > -margin
    assert stats.binom.ppf(0.001, trials, POWER) <= shown <= stats.binom.ppf(0.999, trials, 0.87)
