from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlops.core.exam import Paired
from mlops.core.fairness import Counted, gap_bounds, spread
from mlops.core.harm import Slice
from mlops.core.intervals import wilson
from mlops.core.limits import count_group


def test_the_bounds_are_those_of_the_groups_as_they_are_needed() -> None:
    groups = [Counted("a", 90.0, 100.0), Counted("b", 60.0, 100.0), Counted("c", 70.0, 100.0)]
    found = gap_bounds(groups, 0.05)
    assert found.value == pytest.approx(0.3)
    assert found.high == pytest.approx(wilson(90, 100).high - wilson(60, 100).low)
    together = 0.95 ** (1 / 3)
    assert found.low == pytest.approx(
        wilson(90, 100, together).low - wilson(60, 100, together).high
    )


@pytest.mark.parametrize(
    ("shares", "rows"),
    [((0.9, 0.9, 0.7), 60), ((0.95, 0.75), 40), ((0.8,) * 6, 50), ((0.99, 0.97, 0.79, 0.9), 100)],
)
def test_each_bound_errs_no_more_often_than_alpha(shares: tuple[float, ...], rows: int) -> None:
    """Simulated 4000 times; three standard errors are allowed."""
    rng, alpha, trials = np.random.default_rng(5), 0.05, 4000
    true = max(shares) - min(shares)
    hits = rng.binomial(rows, shares, size=(trials, len(shares)))
    found = [gap_bounds([Counted("", h, rows) for h in one], alpha) for one in hits]
    most = alpha + 3 * np.sqrt(alpha * (1 - alpha) / trials)
    assert np.mean([f.high < true for f in found]) <= most
    assert np.mean([f.low > true for f in found]) <= most


def test_groups_without_a_hit_have_no_difference_and_a_ratio_of_one() -> None:
    difference, ratio = spread([Counted("a", 0.0, 30.0), Counted("b", 0.0, 30.0)], 0.95)
    assert (difference.value, ratio.value, ratio.high) == (0.0, 1.0, 1.0)


def test_a_gap_at_the_ceiling_does_not_pass_because_a_few_keys_hold_the_rows() -> None:
    rng, keys, size, shares, alpha = np.random.default_rng(3), 4, 25, (0.95, 0.75), 0.025
    key = np.repeat(np.arange(2 * keys, dtype=np.uint64), size)
    blank = np.zeros(len(key))
    rows = Paired(blank, None, None, key, blank)
    passed = 0
    for _ in range(300):
        hits_N = np.concatenate([np.repeat(rng.random(keys) < share, size) for share in shares])
        alone_N = rng.random(len(key)) < np.repeat(shares, keys * size)
        hits_N = np.where(rng.random(len(key)) < 0.9, hits_N, alone_N).astype(np.float64)
        groups = [Slice(f"{n}", key // keys == n) for n in (0, 1)]
        found = gap_bounds([count_group(group, hits_N, rows) for group in groups], alpha)
        passed += found.high <= shares[0] - shares[1]
    assert passed <= stats.binom.ppf(0.999, 300, alpha)
