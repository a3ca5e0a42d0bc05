"""Sequential limits and comparison: right at every look, not at one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core.sequential import Tally, compare, limits


def _ever_worse(
    rng: np.random.Generator, rates: tuple[float, float], weight: float, requests: int, alpha: float
) -> int:
    """Return after how many requests a canary was called worse; 0 for never."""
    (p, q), looks = rates, 25
    each = requests // looks
    champion = challenger = Tally(0, 0)
    for look in range(1, looks + 1):
        mine = int(rng.binomial(each, weight))
        champion = Tally(champion.bad + int(rng.binomial(each - mine, p)), champion.n + each - mine)
        challenger = Tally(challenger.bad + int(rng.binomial(mine, q)), challenger.n + mine)
        if compare(champion, challenger, alpha=alpha, margin=0.0).worse:
            return look * each
    return 0


@pytest.mark.parametrize(("p", "weight"), [(0.0, 0.5), (0.02, 0.05), (0.02, 0.5), (0.5, 0.5)])
def test_equal_sides_are_rarely_called_worse_however_often_one_looks(
    p: float, weight: float
) -> None:
    rng, runs, alpha = np.random.default_rng(1), 100, 0.1
    wrong = sum(_ever_worse(rng, (p, p), weight, 10_000, alpha) > 0 for _ in range(runs))
    assert wrong <= alpha * runs


@pytest.mark.bench
@pytest.mark.parametrize("p", [0.001, 0.02, 0.3])
def test_false_rollbacks_keep_to_their_level_in_full_counts(p: float) -> None:
    rng, runs, alpha = np.random.default_rng(2), 4000, 0.05
    wrong = sum(_ever_worse(rng, (p, p), 0.1, 50_000, alpha) > 0 for _ in range(runs))
    assert wrong <= alpha * runs


@pytest.mark.parametrize(
    ("p", "q", "weight", "within"),
    [(0.0, 1.0, 0.05, 800), (0.001, 0.05, 0.05, 10_000), (0.02, 0.2, 0.5, 2_000)],
)
def test_a_worse_challenger_is_found(p: float, q: float, weight: float, within: int) -> None:
    rng = np.random.default_rng(3)
    taken = [_ever_worse(rng, (p, q), weight, 20_000, 0.01) for _ in range(5)]
    assert min(taken) > 0
    assert max(taken) <= within


def test_a_margin_accepts_a_difference() -> None:
    champion, challenger = Tally(1_000, 100_000), Tally(2_000, 100_000)
    assert compare(champion, challenger, alpha=0.01, margin=0.0).worse
    assert not compare(champion, challenger, alpha=0.01, margin=0.02).worse


@given(n=st.integers(1, 10_000), share=st.floats(0, 1), alpha=st.floats(0.001, 0.5))
def test_limits_hold_the_share_and_narrow_with_a_laxer_level(
    n: int, share: float, alpha: float
) -> None:
    tally = Tally(round(share * n), n)
    low, high = limits(tally, alpha)
    assert 0.0 <= low <= tally.rate <= high <= 1.0
    wide_low, wide_high = limits(tally, alpha / 2)
    assert wide_low <= low + 1e-12
    assert high <= wide_high + 1e-12


def test_nothing_seen_is_nothing_known() -> None:
    assert limits(Tally(0, 0), 0.05) == (0.0, 1.0)
    assert not compare(Tally(0, 0), Tally(5, 5), alpha=0.01, margin=0.0).worse


@pytest.mark.parametrize(
    ("bad", "n", "alpha"), [(-1, 5, 0.1), (6, 5, 0.1), (1, 5, 0.0), (1, 5, 1.0)]
)
def test_what_is_no_tally_is_refused(bad: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="no tally"):
        limits(Tally(bad, n), alpha)
