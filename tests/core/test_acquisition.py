from __future__ import annotations

import numpy as np

from mlops.core.acquisition import choose_hard


def test_hard_rows_are_uncertain_and_unlike_each_other() -> None:
    rng = np.random.default_rng(0)
    p = np.column_stack([np.linspace(0.5, 1.0, 400), np.linspace(0.5, 0.0, 400)])
    cluster = rng.integers(0, 4, 400)
    features = np.eye(4)[cluster] * 50 + rng.normal(size=(400, 4))
    found = choose_hard(p.astype(np.float32), features, 8, regression=False)
    assert len(set(found.tolist())) == 8
    assert found.max() < 80  # of the most uncertain
    assert len(set(cluster[found])) == 4
    few = choose_hard(p[:3].astype(np.float32), features[:3], 8, regression=False)
    assert sorted(few.tolist()) == [0, 1, 2]
    assert len(choose_hard(p[:0].astype(np.float32), features[:0], 8, regression=False)) == 0


def test_equal_rows_are_taken_all_the_same() -> None:
    p = np.full((5, 2), 0.5, dtype=np.float32)
    assert sorted(choose_hard(p, np.ones((5, 3)), 5, regression=False).tolist()) == [0, 1, 2, 3, 4]


def test_of_a_regression_hard_rows_have_the_widest_quantiles_in_any_unit() -> None:
    rng = np.random.default_rng(0)
    half = rng.permutation(np.linspace(1.0, 100.0, 400))
    cluster = rng.integers(0, 4, 400)
    features = np.eye(4)[cluster] * 50 + rng.normal(size=(400, 4))
    for unit in (1e-3, 1.0, 1e3):
        middle = rng.normal(0.0, 10.0, 400)
        answers = unit * np.column_stack([middle - half, middle, middle + 2 * half])
        found = choose_hard(answers.astype(np.float32), features, 8, regression=True)
        assert len(set(found.tolist())) == 8
        assert half[found].min() > 80  # of the 80 widest
        assert len(set(cluster[found])) == 4  # however large the numbers are
