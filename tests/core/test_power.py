from __future__ import annotations

import numpy as np
import pytest

from mlops.core.power import bounds, labels_needed


@pytest.mark.parametrize(
    ("reference", "margin", "rows"), [(0.95, 0.05, 150), (0.5, 0.1, 153), (1.0, 0.03, 121)]
)
def test_the_number_of_labels_is_the_textbooks(reference: float, margin: float, rows: int) -> None:
    assert labels_needed(reference, margin) == pytest.approx(rows, abs=2)


def test_so_many_labels_find_the_loss_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    reference, margin = 0.9, 0.05
    rows = labels_needed(reference, margin)
    limit = np.quantile(rng.binomial(rows, reference, 20_000), 0.05)
    found = (rng.binomial(rows, reference - margin, 20_000) <= limit).mean()
    assert 0.76 < found < 0.86


def test_bounds_hold_at_every_look_at_once() -> None:
    rng = np.random.default_rng(1)
    truth, missed, streams = 0.9, 0, 200
    for _ in range(streams):
        right = np.cumsum(rng.random(400) < truth)
        looks = ((int(right[n - 1]), n) for n in range(10, 401, 13))
        missed += any(not low <= truth <= high for low, high in (bounds(c, n) for c, n in looks))
    assert missed <= 0.05 * streams + 2 * np.sqrt(0.05 * 0.95 * streams)


@pytest.mark.parametrize("counts", [(0, 0), (0, 40), (40, 40), (1, 2), (20, 40), (4999, 5000)])
def test_bounds_enclose_what_was_seen(counts: tuple[int, int]) -> None:
    low, high = bounds(*counts)
    assert 0.0 <= low < high <= 1.0
    if counts[1]:
        assert low <= counts[0] / counts[1] <= high
    wide = bounds(counts[0] * 10, counts[1] * 10)
    assert wide[1] - wide[0] <= high - low
