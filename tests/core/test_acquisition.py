from __future__ import annotations

import numpy as np

from mlops.core.acquisition import choose_hard


def test_hard_rows_are_uncertain_and_unlike_each_other() -> None:
    rng = np.random.default_rng(0)
    p = np.column_stack([np.linspace(0.5, 1.0, 400), np.linspace(0.5, 0.0, 400)])
    cluster = rng.integers(0, 4, 400)
    features = np.eye(4)[cluster] * 50 + rng.normal(size=(400, 4))
    found = choose_hard(p.astype(np.float32), features, 8)
    assert len(set(found.tolist())) == 8
    assert found.max() < 80  # of the most uncertain
    assert len(set(cluster[found])) == 4
    assert choose_hard(p[:3].astype(np.float32), features[:3], 8).tolist().__len__() == 3
    assert len(choose_hard(p[:0].astype(np.float32), features[:0], 8)) == 0


def test_equal_rows_are_taken_all_the_same() -> None:
    p = np.full((5, 2), 0.5, dtype=np.float32)
    assert sorted(choose_hard(p, np.ones((5, 3)), 5).tolist()) == [0, 1, 2, 3, 4]
