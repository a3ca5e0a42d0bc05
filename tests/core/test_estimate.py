from __future__ import annotations

import numpy as np
import pytest

from mlops.core.estimate import ErrorEstimate, Estimate, estimate, fit, score


def world(rows: int, scale: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated probabilities of three classes and labels drawn from them."""
    rng = np.random.default_rng(seed)
    raw = np.exp(scale * rng.normal(size=(rows, 3)))
    p = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    u = rng.random((rows, 1))
    label = (p.cumsum(axis=1) < u).sum(axis=1).clip(0, 2)
    return p, label


def test_a_covariate_shift_is_estimated_within_its_interval() -> None:
    known = fit(*world(2000, 4.0, 0))
    assert known is not None
    hit = 0
    for seed in range(1, 21):
        p, label = world(400, 1.5, seed)
        told = estimate(known, p)
        assert told is not None
        truth = float((p.argmax(axis=1) == label).mean())
        assert truth < known.accuracy - 0.1
        assert told.value < known.accuracy - 0.05
        hit += told.low <= truth <= told.high
    assert hit >= 18


def test_the_same_world_is_estimated_as_it_was() -> None:
    known = fit(*world(2000, 3.0, 0))
    assert known is not None
    told = estimate(known, world(1000, 3.0, 1)[0])
    assert told is not None
    assert told.value == pytest.approx(known.accuracy, abs=0.04)
    assert told.low < known.accuracy < told.high


def test_without_labels_or_rows_nothing_is_estimated() -> None:
    p, label = world(40, 3.0, 0)
    assert fit(p, np.full_like(label, -1)) is None
    known = fit(p, label)
    assert known is not None
    assert estimate(known, p[:0]) is None


def test_estimates_are_scored_against_the_truth() -> None:
    told = [(Estimate(0.9, 0.85, 0.95), 0.92), (Estimate(0.8, 0.7, 0.9), 0.5)]
    found = score(told)
    assert found is not None
    assert (found.windows, found.covered) == (2, 0.5)
    assert found.error == pytest.approx(0.16)
    assert score([]) is None


@pytest.mark.parametrize(
    ("told", "truth", "holds", "words"),
    [
        (ErrorEstimate(2.0, 1.5, 3.0), 1.5, True, "2 (1.5 to 3)"),
        (ErrorEstimate(2.0, 1.5, 3.0), 3.01, False, "2 (1.5 to 3)"),
        (ErrorEstimate(2.0, 1.5, 3.0), 1.49, False, "2 (1.5 to 3)"),
        (ErrorEstimate(52_345.6, 48_000.0, None), 1e9, True, "at least 48,000"),
        (ErrorEstimate(52_345.6, 48_000.0, None), 47_000.0, False, "at least 48,000"),
    ],
)
def test_an_error_without_an_upper_end_is_told_as_what_it_is_at_least(
    told: ErrorEstimate, truth: float, holds: bool, words: str
) -> None:
    assert (told.holds(truth), str(told)) == (holds, words)
