"""A regression's scores with their intervals, against worlds whose figures are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from mlops.core import regression_scores as scores
from mlops.core.assessment import Rules, Scored
from mlops.core.slices import EVERYTHING, Part, measure

RULES = Rules(confidence=0.95, resamples=300, seed=1, bins=10, min_slice_rows=20, top_k=1)


def world(n: int = 2000, seed: int = 0, wide: float = 1.6449) -> Scored:
    """Targets with normal errors of standard deviation 2 about honest quantiles."""
    rng = np.random.default_rng(seed)
    point = rng.uniform(10.0, 90.0, n)
    label = point + rng.normal(0.0, 2.0, n)
    quantiles = point[:, None] + 2.0 * wide * np.array([-1.0, 0.0, 1.0])
    return Scored(
        label, quantiles.astype(np.float32), np.arange(n, dtype=np.uint64), np.zeros(n, dtype=bool)
    )


def test_intervals_hold_the_true_figures() -> None:
    found = {one.name: one for one in scores.measured(world(), RULES)}
    true = {"mae": 2.0 * np.sqrt(2.0 / np.pi), "mse": 4.0, "rmse": 2.0, "coverage": 0.9,
            "width": 4.0 * 1.6449, "r2": 1.0 - 4.0 / (80.0**2 / 12.0 + 4.0)}  # fmt: skip
    for name, value in true.items():
        near = found[name].interval
        assert near.low - 1e-3 <= value <= near.high + 1e-3, (name, value, near)
        assert near.low <= near.value <= near.high
    assert found["coverage"].method == "wilson"
    assert {"pinball", "mape"} <= set(found)
    figures = scores.figures({"test": world(), "recent": world(seed=5)})
    assert figures["mae"] == pytest.approx(found["mae"].interval.value)
    assert figures["recent_n"] == 2000
    assert "recent_pinball" not in figures
    assert figures["constant_mae"] > 10.0 * figures["mae"]


def test_rows_of_one_key_are_resampled_together() -> None:
    rows = world(200)
    copies = rows.take(np.repeat(np.arange(200), 10))
    wide, alone = (
        {one.name: one for one in scores.measured(some, RULES)}
        for some in (copies, replace(copies, key=np.arange(2000, dtype=np.uint64)))
    )
    ratio = (wide["mae"].interval.high - wide["mae"].interval.low) / (
        alone["mae"].interval.high - alone["mae"].interval.low
    )
    assert ratio == pytest.approx(np.sqrt(10.0), rel=0.3)
    assert wide["coverage"].method == "wilson, design effect"


def test_errors_of_one_key_say_nothing_of_others() -> None:
    one = replace(world(60), key=np.zeros(60, dtype=np.uint64))
    for found in scores.measured(one, RULES):
        claimed = found.method == "wilson, design effect"
        assert claimed == (found.name == "coverage")
        assert (found.interval.high - found.interval.low > 0.6) == claimed
    everything = [Part(EVERYTHING, "all", "", np.ones(60, dtype=bool))]
    assert [s.status for s in measure(one, everything, RULES)] == ["not assessable"]


def test_a_figure_that_the_rows_cannot_answer_is_left_out() -> None:
    rows = world(50)
    same = replace(rows, label=np.full(50, 50.0))
    assert "r2" not in {one.name for one in scores.measured(same, RULES)}
    zero = replace(rows, label=np.where(np.arange(50) == 3, 0.0, rows.label))
    assert "mape" not in {one.name for one in scores.measured(zero, RULES)}


def test_coverage_is_counted_where_predictions_are_alike() -> None:
    rows = world()
    narrow = rows.probabilities.copy()
    low = rows.point < 30.0
    narrow[low] = rows.point[low, None] + np.array([-0.1, 0.0, 0.1])
    found = scores.coverage_bins(replace(rows, probabilities=narrow), RULES)
    assert [one.n for one in found] == [200] * 10
    assert found[0].coverage.high < 0.2
    assert all(abs(one.coverage.value - 0.9) < 0.07 for one in found[4:])
    assert all(a.high <= b.low for a, b in pairwise(found))
    assert len(scores.coverage_bins(rows.take(np.arange(2000) < 3), RULES)) == 3


def test_normal_errors_lie_on_the_line_and_heavy_ones_do_not() -> None:
    expected, found = scores.normal_quantiles(world())
    assert np.corrcoef(expected, found)[0, 1] > 0.998
    rows = world()
    heavy = rows.point + stats.t(2).rvs(2000, random_state=1)
    expected, found = scores.normal_quantiles(replace(rows, label=heavy))
    assert np.abs(found[[0, -1]]).max() > 2.0 * expected[-1]
    exact = replace(rows, label=rows.point)
    assert not scores.normal_quantiles(exact)[1].any()
