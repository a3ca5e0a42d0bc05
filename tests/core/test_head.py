from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlops.core.bounds import Resampling
from mlops.core.head import WORK, Sample, gain, most_rows

HOW = Resampling(alpha=0.025, resamples=300, seed=1)
CENTRES = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])


def softmax(scores: np.ndarray) -> np.ndarray:
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True), np.float32)


def classes(seed: int, rows: int, turned: int = 0) -> Sample:
    """Draw rows of three classes that a champion knows; it is wrong in all of them if turned."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, rows)
    hidden = CENTRES[true] + rng.normal(0, 0.7, (rows, 3))
    hidden = np.column_stack([hidden, np.ones(rows)])  # a column that never varies
    key = np.arange(rows, dtype=np.uint64) + np.uint64(1000 * seed)
    return Sample(hidden, softmax(2.0 * hidden[:, :3]), (true + turned) % 3, key, true >= 0)


def numbers(seed: int, rows: int, missed: float) -> Sample:
    """Draw rows whose target a champion misses by so much of one input."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(0, 1, (rows, 4))
    median = hidden[:, 1]
    answers = np.column_stack([median - 1, median, median + 1]).astype(np.float32)
    label = median + missed * hidden[:, 0] + rng.normal(0, 0.5, rows)
    return Sample(hidden, answers, label, np.arange(rows, dtype=np.uint64), label < np.inf)


def test_where_nothing_changed_nothing_is_gained() -> None:
    bounds = [
        gain(classes(s, 200), classes(s + 50, 100), regression=False, **HOW) for s in range(8)
    ]
    assert sum(b.lower <= 0.0 <= b.upper for b in bounds) == 8
    assert abs(np.mean([b.estimate for b in bounds])) < 0.01


def test_what_can_be_learnt_is_found_with_and_without_base_rows() -> None:
    new, base = classes(1, 200, turned=1), classes(2, 100, turned=1)
    for older in (base, base.take(slice(0))):
        bounds = gain(new, older, regression=False, **HOW)
        assert bounds.lower > 0.5


def test_old_rows_that_say_otherwise_hold_the_head_back() -> None:
    new, base = classes(1, 100, turned=1), classes(2, 400)
    held, free = (gain(new, b, regression=False, **HOW) for b in (base, base.take(slice(0))))
    assert held.estimate < free.estimate - 0.3


def test_rows_of_one_key_teach_nothing_of_each_other() -> None:
    rng = np.random.default_rng(3)
    once = classes(3, 60)
    noise = replace(
        once, hidden=rng.normal(0, 1, (60, 40)), label=rng.integers(0, 3, 60),
        answers=np.full((60, 3), 1 / 3, np.float32),
    )  # fmt: skip
    twice = np.concatenate([np.arange(60)] * 3)
    copies = noise.take(twice)
    apart = replace(copies, key=np.arange(180, dtype=np.uint64))
    leaked, honest = (gain(s, s.take(slice(0)), regression=False, **HOW) for s in (apart, copies))
    assert leaked.estimate > 0.3  # copies on both sides: what was learnt by heart looks like a gain
    assert honest.lower < 0.0 < honest.upper


def test_rows_that_do_not_measure_are_only_fitted_on() -> None:
    new = classes(1, 200, turned=1)
    half = replace(new, scored=np.arange(200) % 2 == 0)
    bounds = gain(half, new.take(slice(0)), regression=False, **HOW)
    alone = gain(half.take(half.scored), new.take(slice(0)), regression=False, **HOW)
    assert 0.5 < alone.estimate < bounds.estimate  # twice the rows to fit on


@pytest.mark.parametrize(("missed", "found"), [(0.0, False), (1.0, True)])
def test_a_regressions_gain_is_a_share_of_the_champions_error(missed: float, found: bool) -> None:
    new = numbers(4, 200, missed)
    bounds = gain(new, numbers(5, 50, missed), regression=True, **HOW)
    assert (bounds.lower > 0.2) == found
    assert bounds.upper < 1.0
    assert found or abs(bounds.estimate) < 0.05


def test_wide_layers_are_probed_with_fewer_rows() -> None:
    assert most_rows(64, 10) == WORK // 650
    assert most_rows(4096, 1000) < 3


def test_two_rows_make_a_probe_of_no_precision() -> None:
    bounds = gain(classes(1, 2), classes(2, 0), regression=False, **HOW)
    assert bounds.lower < -0.3
    assert bounds.upper > 0.3
