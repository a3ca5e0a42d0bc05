from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from mlops.core.intervals import bootstrap, bootstrap_all, quantile_interval, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (1, 30), (470, 500), (3, 7)])
def test_wilson_agrees_with_scipy(k: int, n: int, confidence: float) -> None:
    found = wilson(k, n, confidence)
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_what_is_no_proportion(k: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"successes = {k} of n = {n}"):
        wilson(k, n)


@pytest.mark.parametrize("bca", [True, False])
def test_bootstrap_agrees_with_scipy(bca: bool) -> None:
    x = np.random.default_rng(3).exponential(size=120)
    found = bootstrap(
        lambda rows: float(x[rows].mean()), 120, confidence=0.9, resamples=4000, seed=1, bca=bca
    )
    theirs = stats.bootstrap(
        (x,), np.mean, confidence_level=0.9, n_resamples=4000,
        method="BCa" if bca else "percentile", rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert found.value == pytest.approx(x.mean())
    assert found.low == pytest.approx(theirs.low, abs=0.03)
    assert found.high == pytest.approx(theirs.high, abs=0.03)


def test_bootstrap_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        x = rng.exponential(size=60)
        found = bootstrap(
            lambda rows, x=x: float(x[rows].mean()),  # type: ignore[misc]
            60, confidence=0.9, resamples=300, seed=trial,
        )  # fmt: skip
        inside += found.low <= 1.0 <= found.high
    # 0.9 nominal, known to be a little short for skewed samples; 4 standard errors are 0.085.
    assert 0.80 <= inside / 200 <= 0.98


@pytest.mark.parametrize("n", [40, 1300])  # above 1000 the jackknife leaves blocks out
def test_many_resamples_at_once_give_the_same_interval(n: int) -> None:
    x = np.random.default_rng(5).exponential(size=n)

    def mean(rows: NDArray[np.int64]) -> float:
        return float(x[rows].mean())

    found = partial(bootstrap, mean, n, confidence=0.9, resamples=700, seed=3)
    one, many = found(), found(many=lambda rows: x[rows].mean(axis=1))
    assert (many.low, many.high) == pytest.approx((one.low, one.high), abs=1e-12)
    pairs = np.repeat(np.arange(n // 2, dtype=np.uint64), 2)
    grouped = found(many=lambda _: np.zeros(0), groups=pairs)  # unused: pairs are drawn whole
    assert grouped.low < x.mean() < grouped.high


def test_groups_are_drawn_whole_and_widen_the_interval() -> None:
    x = np.repeat(np.random.default_rng(1).normal(size=40), 10)
    groups = np.repeat(np.arange(40, dtype=np.uint64), 10)
    sizes = set()

    def mean(rows: NDArray[np.int64]) -> float:
        sizes.add(len(rows) % 10)
        return float(x[rows].mean())

    alone = bootstrap(mean, 400, confidence=0.95, resamples=400, seed=0)
    together = bootstrap(mean, 400, confidence=0.95, resamples=400, seed=0, groups=groups)
    assert sizes <= {0, 9}  # 9: the jackknife of single rows leaves one out
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_bootstrap_is_a_function_of_its_seed() -> None:
    x = np.arange(30.0)
    first, second, other = (
        bootstrap(lambda r: float(x[r].mean()), 30, confidence=0.9, resamples=200, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_unknown_statistics_have_unknown_limits() -> None:
    found = bootstrap(lambda _: float("nan"), 5, confidence=0.9, resamples=200, seed=1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_constant_statistic_has_no_width() -> None:
    found = bootstrap(lambda _: 1.0, 5, confidence=0.9, resamples=200, seed=1)
    assert (found.low, found.high) == (1.0, 1.0)


@pytest.mark.parametrize("grouped", [False, True])
def test_many_statistics_at_once_have_the_intervals_of_each_alone(grouped: bool) -> None:
    x = np.random.default_rng(5).exponential(size=90)
    groups = np.repeat(np.arange(30, dtype=np.uint64), 3) if grouped else None
    both = bootstrap_all(
        lambda counts: np.array([counts @ x / counts.sum(), counts @ (x > 1.0) / counts.sum()]),
        90, confidence=0.9, resamples=300, seed=4, groups=groups,
    )  # fmt: skip
    for value, found in zip((x, x > 1.0), both, strict=True):
        alone = bootstrap(
            lambda rows, v=value: float(v[rows].mean()),  # type: ignore[misc]
            90, confidence=0.9, resamples=300, seed=4, groups=groups,
        )  # fmt: skip
        assert (found.value, found.low, found.high) == pytest.approx(
            (alone.value, alone.low, alone.high), abs=1e-12
        )


def test_what_is_unknown_among_many_has_no_limits_and_spoils_no_other() -> None:
    known, unknown = bootstrap_all(
        lambda counts: np.array([counts[0] / counts.sum(), np.nan]),
        20, confidence=0.9, resamples=200, seed=1,
    )  # fmt: skip
    assert known.low <= known.value <= known.high
    assert math.isnan(unknown.low)
    assert math.isnan(unknown.high)


@pytest.mark.parametrize(("n", "q"), [(180, 0.95), (40, 0.5), (60, 0.9)])
def test_a_quantile_is_covered_as_often_as_it_says(n: int, q: float) -> None:
    rng, truth = np.random.default_rng(1), -math.log(1.0 - q)
    found = [quantile_interval(rng.exponential(size=n), q, 0.95) for _ in range(1500)]
    inside = np.mean([f.low <= truth <= f.high for f in found])
    # Order statistics are discrete: never below, and a little above; 3 standard errors are 0.017.
    assert 0.95 - 0.017 <= inside <= 0.99


def test_too_few_values_do_not_bound_a_high_quantile() -> None:
    found = quantile_interval(np.arange(10.0), 0.95, 0.95)
    assert math.isnan(found.high)
    assert found.low <= found.value
