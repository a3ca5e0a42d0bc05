from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from mlops.core.dependence import INDEPENDENT, between_windows, dependence, draw

PHI = 0.7  # integrated autocorrelation time (1 + φ) / (1 - φ) = 5.7


def series(rng: np.random.Generator, rows: int, columns: int = 6) -> np.ndarray:
    """Draw independent columns, the last of them autoregressive."""
    x = rng.normal(size=(rows, columns))
    x[:, -1] = signal.lfilter([1], [1, -PHI], x[:, -1])
    return x


def test_independent_rows_are_not_called_dependent() -> None:
    found = [dependence(np.random.default_rng(s).normal(size=(800, 20))) for s in range(60)]
    assert sum(f != INDEPENDENT for f in found) <= 2  # level .001 and 60 series


@pytest.mark.parametrize("rows", [2000, 10_000])
def test_blocks_are_three_autocorrelation_times_long(rows: int) -> None:
    found = [dependence(series(np.random.default_rng(s), rows)) for s in range(20)]
    assert np.median([f.block for f in found]) == pytest.approx(17, abs=3)
    # 1 - (1/L) Σ k ρ … of the variance of a mean is lost at the ends of blocks.
    assert np.median([f.missed for f in found]) == pytest.approx(1.08, abs=0.03)


def test_blocks_and_what_they_miss_give_the_variance_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    x = series(rng, 20_000)[:, -1]
    found = dependence(x[:, np.newaxis])
    means = x[draw(rng, len(x), (4000, 200), found.block)].mean(axis=1)
    truth = np.sqrt(x.var() * (1 + PHI) / (1 - PHI) / 200)
    assert means.std() * found.missed == pytest.approx(truth, rel=0.06)


@pytest.mark.parametrize("block", [1, 7])
def test_every_row_is_drawn_equally_often_and_blocks_keep_their_order(block: int) -> None:
    rng = np.random.default_rng(0)
    index = draw(rng, 50, (400, 30), block)
    counts = np.bincount(index.ravel(), minlength=50)
    assert counts.min() > 0.6 * counts.mean()
    assert counts.max() < 1.4 * counts.mean()
    follows = ((index[:, 1:] - index[:, :-1]) % 50 == 1).mean()
    assert follows == pytest.approx(1 - 1 / block if block > 1 else 0.02, abs=0.02)


def test_windows_that_really_differ_are_seen_and_others_are_not() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 3))
    x[:, 0] += np.repeat(rng.normal(size=40), 100)
    found = between_windows(x, 100, 1)
    assert found[0] > 3
    assert found[1:] == pytest.approx(1.0, abs=0.1)
    assert (between_windows(x[:700], 100, 1) == 1).all()  # seven windows cannot tell


def test_short_or_constant_series_are_independent() -> None:
    assert dependence(np.ones((500, 2))) == INDEPENDENT
    assert dependence(np.ones((3, 2))) == INDEPENDENT
