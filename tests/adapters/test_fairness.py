from __future__ import annotations

import numpy as np
import pytest

from mlops.adapters.fairness import compare_groups
from mlops.core.assessment import Rules, Scored
from mlops.core.intervals import wilson
from mlops.core.schema import ImageSchema
from mlops.core.slices import Part, parts
from mlops.errors import ParamsError

RULES = Rules(confidence=0.95, resamples=200, seed=1, bins=10, min_slice_rows=20, top_k=3)


def scored(right: np.ndarray) -> Scored:
    n = len(right)
    label = np.arange(n) % 2
    p = np.where((np.arange(2) == label[:, None]) == right[:, None], 0.8, 0.2)
    return Scored(
        label, p.astype(np.float32), np.arange(n, dtype=np.uint64), np.zeros(n, dtype=bool)
    )


def groups(*sizes: int) -> tuple[Part, ...]:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return tuple(Part("site", f"s{k}", "", owner == k) for k in range(len(sizes)))


def test_difference_and_ratio_are_those_of_the_extremes_among_groups_large_enough() -> None:
    right = np.concatenate([np.arange(100) < 90, np.arange(50) < 30, np.arange(5) < 0])
    found = compare_groups(scored(right), groups(100, 50, 5), "site", RULES)
    assert [(g.value, g.n) for g in found.groups] == [("s0", 100), ("s1", 50), ("s2", 5)]
    assert found.groups[0].accuracy == wilson(90, 100)
    assert found.groups[2].accuracy is None
    assert found.difference is not None
    assert found.ratio is not None
    assert found.difference.value == pytest.approx(0.3)
    assert found.ratio.value == pytest.approx(0.6 / 0.9)
    assert 0.0 < found.difference.low < 0.3 < found.difference.high
    assert found.ratio.low < 0.6 / 0.9 < found.ratio.high < 1.0


def test_the_intervals_hold_at_least_as_often_as_they_say() -> None:
    rng, shares = np.random.default_rng(0), np.array([0.9, 0.9, 0.8])
    inside = 0
    for _ in range(60):
        right = rng.uniform(size=240) < np.repeat(shares, 80)
        found = compare_groups(scored(right), groups(80, 80, 80), "site", RULES)
        assert found.difference is not None
        assert found.ratio is not None
        inside += (
            found.difference.low <= 0.1 <= found.difference.high
            and found.ratio.low <= 0.8 / 0.9 <= found.ratio.high
        )
    assert inside >= 57


def test_equal_groups_may_differ_by_nothing() -> None:
    found = compare_groups(scored(np.ones(100, dtype=bool)), groups(50, 50), "site", RULES)
    assert found.difference is not None
    assert found.ratio is not None
    assert (found.difference.value, found.difference.low) == (0.0, 0.0)
    assert (found.ratio.value, found.ratio.high) == (1.0, 1.0)


def test_fewer_than_two_groups_are_not_compared() -> None:
    found = compare_groups(scored(np.ones(60, dtype=bool)), groups(50, 10), "site", RULES)
    assert found.difference is None
    assert found.ratio is None
    assert [g.n for g in found.groups] == [50, 10]


@pytest.mark.parametrize("column", ["age", "all"])
def test_an_unknown_column_is_named_with_those_that_there_are(column: str) -> None:
    rows = scored(np.ones(60, dtype=bool))
    looks = np.random.default_rng(0).uniform(size=(60, 1))
    known = parts(rows, ImageSchema(("a", "b"), 8, 8, 1), looks, ("contrast",), ((0.3, 0.6),))
    with pytest.raises(ParamsError, match=f'"{column}".*choose from: class, origin, contrast'):
        compare_groups(rows, known, column, RULES)
