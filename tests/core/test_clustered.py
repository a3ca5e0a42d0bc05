from __future__ import annotations

import numpy as np
import pytest

from mlops.core.clustered import share
from mlops.core.intervals import wilson


@pytest.mark.parametrize(
    ("keys", "rows", "chance", "alike"),
    [(10, 5, 0.9, 0.9), (40, 5, 0.97, 0.9), (6, 30, 0.9, 0.9), (40, 5, 0.9, 0.0)],
)
def test_it_covers_where_keys_are_few_and_their_rows_alike(
    keys: int, rows: int, chance: float, alike: float
) -> None:
    """BCa over keys covers 0.72, 0.76 and 0.45 of the first three."""
    rng, trials, inside = np.random.default_rng(0), 400, 0
    key_N = np.repeat(np.arange(keys, dtype=np.uint64), rows)
    for _ in range(trials):
        common = np.repeat(rng.random(keys) < chance, rows)
        own = rng.random(len(key_N)) < chance
        found = share(np.where(rng.random(len(key_N)) < alike, common, own), key_N, 0.95)
        assert found.low < found.high
        inside += found.low <= chance <= found.high
    assert inside / trials >= 0.95 - 0.033  # three standard errors


def test_rows_that_stand_alone_have_wilsons_own() -> None:
    hit = np.arange(50) < 47
    assert share(hit, np.arange(50, dtype=np.uint64), 0.95) == wilson(47, 50)


def test_copies_are_worth_no_more_than_one_row() -> None:
    hit, key = np.repeat([1, 1, 0, 1], 25), np.repeat(np.arange(4, dtype=np.uint64), 25)
    found = share(hit, key, 0.95)
    assert found.value == 0.75
    assert found.high - found.low > wilson(3, 4).high - wilson(3, 4).low
    assert share(hit[:25], key[:25], 0.95) == wilson(1, 1)
