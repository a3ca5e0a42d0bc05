from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.core.entities import group


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
