from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.core.entities import beyond_blocks, group


@settings(max_examples=80, deadline=None)
@given(
    key=st.lists(st.integers(0, 9), min_size=1, max_size=40), rows=st.integers(1, 100),
    most=st.integers(1, 50), seed=st.integers(0, 99),
)  # fmt: skip
def test_entities_are_drawn_and_kept_whole(key: list[int], rows: int, most: int, seed: int) -> None:
    keys = np.array(key, np.uint64)
    made = group(keys)
    assert (len(made), sorted(made.rows)) == (len(set(key)), list(range(len(key))))
    drawn = keys[made.draw(np.random.default_rng(seed), rows)]
    assert len(drawn) == rows
    # All but the last entity, which is cut short, come with all their rows each time.
    for one in set(drawn.tolist()) - {drawn[-1]}:
        assert (drawn == one).sum() % key.count(one) == 0
    chosen, kept = made.some(most)
    assert len(chosen) <= max(most, key.count(int(keys[chosen[0]])))
    assert np.array_equal(np.sort(kept.rows), np.arange(len(chosen)))
    for start, size in zip(kept.starts, kept.sizes, strict=True):
        one = keys[chosen][kept.rows[start : start + size]]
        assert len(set(one)) == 1
        assert len(one) == key.count(int(one[0]))


def test_every_row_is_drawn_equally_often() -> None:
    keys = np.repeat(np.arange(20), np.arange(1, 21)).astype(np.uint64)
    made, rng = group(keys), np.random.default_rng(0)
    counts = np.bincount(np.concatenate([made.draw(rng, 2100) for _ in range(300)]), minlength=210)
    assert np.abs(counts / counts.mean() - 1).max() < 0.12


def test_entities_that_come_back_widen_a_mean_beyond_what_blocks_show() -> None:
    rng, rows, each, block = np.random.default_rng(3), 4000, 20, 8
    scattered = rng.permutation(np.arange(rows, dtype=np.uint64) // np.uint64(each))
    of_entity = rng.standard_normal((rows // each, 2))
    values = np.sqrt(0.7) * of_entity[scattered] + np.sqrt(0.3) * rng.standard_normal((rows, 2))
    # Of independent rows blocks show 1; rows of an entity share .7, so that 20 are worth 1.4.
    assert beyond_blocks(values, scattered, block) == pytest.approx(1 + 19 * 0.7, rel=0.25)
    together = np.sort(scattered)  # an entity's rows follow each other: blocks hold most of it
    beside = of_entity[together] + 0.1 * rng.standard_normal((rows, 2))
    assert beyond_blocks(beside, together, 5 * each) == pytest.approx(1.0, abs=0.2)
    alone = np.arange(rows, dtype=np.uint64)
    assert beyond_blocks(values, alone, block) == 1.0
    assert beyond_blocks(np.zeros((10, 1)), np.zeros(10, np.uint64), 2) == 1.0
