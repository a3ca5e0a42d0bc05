from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlops.core.decision import Check
from mlops.core.unseen import cautious_bounds
from mlops.core.wanted import Levels, larger, told, wanted

LEVELS = Levels(alpha=0.025, again=0.05 / 6, power=0.8)
OPEN = Check("log loss", None, 0.1, 0.05, "log loss so and so")


@pytest.mark.parametrize(
    ("gain", "margin"), [(0.02, 0.0), (0.01, 0.02), (-0.01, 0.03), (-0.05, 0.03)]
)
def test_so_many_labels_settle_it_with_the_stated_power(gain: float, margin: float) -> None:
    rng, rows, spread = np.random.default_rng(0), 100, 0.3
    lower = gain - stats.norm.isf(LEVELS.alpha) * spread / np.sqrt(rows)
    more = wanted(rows, (gain, lower), margin, LEVELS)
    assert more is not None
    n = rows + more
    means = gain + spread / np.sqrt(n) * rng.standard_normal(20_000)
    side = np.sign(gain + margin)
    shown = side * (means + margin) > stats.norm.isf(0.05 / 6) * spread / np.sqrt(n)
    assert shown.mean() == pytest.approx(0.8, abs=0.015)


def test_what_was_not_seen_needs_rows_but_not_by_their_root() -> None:
    """Models that never differed on 60 rows may lose 16 a row: that is settled by ten times 60."""
    key_N = np.arange(60, dtype=np.uint64)
    seen = cautious_bounds(np.zeros(60), key_N, (-16.0, 16.0), LEVELS.alpha)
    levels = Levels(alpha=0.025, again=0.025, power=0.8)
    more = wanted(60, (seen.estimate, seen.lower), 0.1, levels, seen.one)
    assert more is not None
    rows = 60 + more
    assert rows == pytest.approx(-np.log(0.025) * 160, rel=0.01)
    for times, settled in ((0.97, False), (1.01, True)):
        n = int(times * rows)
        every = np.arange(n, dtype=np.uint64)
        bounds = cautious_bounds(np.zeros(n), every, (-16.0, 16.0), 0.025)
        assert (bounds.lower > -0.1) == settled


def test_no_number_is_named_where_none_is_known() -> None:
    assert wanted(100, (0.0, -0.1), 0.0, LEVELS) is None
    assert wanted(100, (-0.1 + 1e-16, -0.3), 0.1, LEVELS) is None
    assert wanted(100, (0.0, -np.inf), 0.05, LEVELS) is None
    assert wanted(100, (0.0, -0.1), 0.05, Levels(0.05, None, 0.8)) is None
    assert larger(300, 0, 20) is None
    assert larger(300, 15, 20) == 100


def test_only_what_is_open_is_told_what_would_settle_it() -> None:
    passed = Check("log loss", passed=True, value=0.1, limit=0.2, words="fine")
    assert told(passed, 5) == passed
    assert told(OPEN, 5).words == "log loss so and so; about 5 more labels would settle it"
    assert told(OPEN, None).words.endswith("no number of labels is known to settle it")
    assert told(OPEN, None, Levels(0.05, None, 0.8)).labels is None
