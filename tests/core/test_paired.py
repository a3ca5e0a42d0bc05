from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from mlops.core.paired import (
    holm,
    labels_needed,
    mcnemar_p,
)
from mlops.core.tango import cautious_tango, tango, tango_score

ALPHA = 0.05
counts = st.integers(1, 300).flatmap(
    lambda n: st.integers(0, n).flatmap(
        lambda gained: st.tuples(st.just(gained), st.integers(0, n - gained), st.just(n))
    )
)


def _score_by_search(gained: int, lost: int, rows: int, difference: float) -> float:
    """Return the score statistic with the likelihood maximised by search, not in closed form."""

    def unlikely(lose: float) -> float:
        win, same = lose + difference, 1.0 - 2.0 * lose - difference
        parts = ((gained, win), (lost, lose), (rows - gained - lost, same))
        return -sum(n * math.log(max(p, 1e-300)) for n, p in parts if n)

    low, high = max(0.0, -difference), (1.0 - difference) / 2.0
    lose = optimize.minimize_scalar(
        unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    ).x
    variance = rows * (2.0 * lose + difference - difference**2)
    return float((gained - lost - rows * difference) / np.sqrt(variance))


@pytest.mark.parametrize(("gained", "lost", "rows"), [(12, 2, 44), (1, 7, 21), (30, 22, 400)])
def test_tango_agrees_with_a_likelihood_maximised_by_search(
    gained: int, lost: int, rows: int
) -> None:
    low, high = tango(gained, lost, rows, 0.025)
    z = float(stats.norm.isf(0.025))
    assert _score_by_search(gained, lost, rows, low) == pytest.approx(z, abs=1e-4)
    assert _score_by_search(gained, lost, rows, high) == pytest.approx(-z, abs=1e-4)
    seen = (gained - lost) / rows
    assert tango_score(gained, lost, rows, seen + 0.1) == pytest.approx(
        _score_by_search(gained, lost, rows, seen + 0.1), abs=1e-4
    )


def test_tango_agrees_with_a_published_interval() -> None:
    # Fagerland, Lydersen, Laake (2014), Statistics in Medicine 33: airway reactivity, n = 21.
    assert tango(1, 7, 21, 0.025) == pytest.approx((-0.517, -0.026), abs=0.001)


@given(counts)
@settings(max_examples=60, deadline=None)
def test_the_intervals_hold_the_difference_mirror_and_nest(table: tuple[int, int, int]) -> None:
    gained, lost, rows = table
    low, high = tango(gained, lost, rows, ALPHA)
    seen = (gained - lost) / rows
    assert -1.0 <= low <= seen <= high <= 1.0
    mirrored = tango(lost, gained, rows, ALPHA)
    assert mirrored == pytest.approx((-high, -low), abs=1e-6)
    cautious = cautious_tango(gained, lost, rows, ALPHA)
    assert cautious[0] <= low + 1e-9
    assert cautious[1] >= high - 1e-9


def test_no_discordant_row_still_leaves_the_interval_a_width() -> None:
    low, high = tango(0, 0, 60, ALPHA)
    z2 = float(stats.norm.isf(ALPHA)) ** 2
    assert (low, high) == pytest.approx((-z2 / (60 + z2), z2 / (60 + z2)), abs=1e-6)


def _promotion_rate(
    rows: int, discordance: float, margin: float, gain: float | None = None
) -> float:
    """Enumerate every table, by default at the margin's boundary; add up where one promotes."""
    true = -margin if gain is None else gain
    win, lose = (discordance + true) / 2, (discordance - true) / 2
    z, total = float(stats.norm.isf(ALPHA)), 0.0
    most = int(stats.binom.isf(1e-6, rows, discordance)) + 1
    for discordant in range(most + 1):
        weight = float(stats.binom.pmf(discordant, rows, discordance))
        if weight < 1e-7:
            continue
        gained = np.arange(discordant + 1)
        share = stats.binom.pmf(gained, discordant, win / (win + lose))
        for won, p in zip(gained, share, strict=True):
            g, c = float(won), float(discordant - won)
            if margin == 0.0:
                promoted = mcnemar_p(int(g), int(c)) <= ALPHA
            elif g >= 0.5:
                promoted = tango_score(g - 0.5, c, rows, -margin) > z
            else:
                promoted = tango_score(g, min(c + 0.5, rows), rows, -margin) > z
            total += weight * float(p) * promoted
    return total


@pytest.mark.parametrize("rows", [60, 150])
@pytest.mark.parametrize(("discordance", "margin"), [(0.05, 0.0), (0.2, 0.0), (0.1, 0.03)])
def test_at_the_boundary_the_error_stays_below_alpha_exactly(
    rows: int, discordance: float, margin: float
) -> None:
    assert 0.005 < _promotion_rate(rows, discordance, margin) <= ALPHA


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [(0, 0, 1.0), (5, 0, 0.5**5 / 2), (1, 1, 0.5), (0, 4, 1 - 0.5**4 / 2)],
)
def test_mcnemars_mid_p_by_hand(gained: int, lost: int, expected: float) -> None:
    assert mcnemar_p(gained, lost) == pytest.approx(expected)


def test_holm_by_hand_and_monotone() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_labels_needed_follows_the_formula_and_shrinks_with_the_effect() -> None:
    z = stats.norm.isf(0.05) + stats.norm.ppf(0.8)
    held = {"alpha": 0.05, "power": 0.8, "margin": 0.0}
    assert labels_needed(0.2, effect=0.05, **held) == int(np.ceil(z**2 * 0.2 / 0.05**2))
    assert labels_needed(0.2, effect=0.1, **held) < labels_needed(0.2, effect=0.05, **held)
    # A true gain differs on as many rows at least, however few differed yet.
    rows = labels_needed(0.0, effect=0.1, **held)
    assert rows == labels_needed(0.1, effect=0.1, **held)
    gained = np.arange(rows + 1)
    shown = np.array([mcnemar_p(int(g), 0) < held["alpha"] for g in gained])
    assert stats.binom.pmf(gained[shown], rows, 0.1).sum() >= held["power"]


def test_labels_needed_under_a_margin_give_the_power_that_was_asked_for() -> None:
    discordance, margin = 0.05, 0.03
    held = {"alpha": ALPHA, "effect": 0.0, "margin": margin}
    for power in (0.8, 0.9):
        rows = labels_needed(discordance, power=power, **held)
        assert _promotion_rate(rows, discordance, margin, gain=0.0) == pytest.approx(
            power, abs=0.03
        )
    # Models that never differed still have to show it on enough rows.
    assert labels_needed(0.0, power=0.8, **held) > 60
