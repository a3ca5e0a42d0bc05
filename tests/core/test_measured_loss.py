from __future__ import annotations

import numpy as np
import pytest

from mlops.core.measured_loss import measured_loss


def _right(accuracy: float, rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(rows) < accuracy


@pytest.mark.parametrize(("reference", "margin"), [(0.95, 0.03), (0.7, 0.05), (1.0, 0.02)])
def test_at_the_margin_a_false_alarm_comes_no_sooner_than_the_level_says(
    reference: float, margin: float
) -> None:
    """The worst case that is no loss beyond the margin; the mean run length is at least 50."""
    lengths = []
    for seed in range(150):
        right = _right(reference - margin, 400, seed)
        found = measured_loss(right, reference=reference, margin=margin, level=50.0)
        lengths.append(found.after or len(right))
    # Three standard errors of 150 run lengths, which spread about as wide as they are long.
    assert np.mean(lengths) > 50.0 * (1.0 - 3.0 / np.sqrt(150.0))


@pytest.mark.parametrize(
    ("accuracy", "labels", "shown"),
    [(0.95, 2000, False), (0.92, 2000, False), (0.7, 150, True), (0.5, 80, True), (0.5, 5, False)],
)
def test_what_is_lost_beyond_the_margin_shows_and_nothing_else(
    accuracy: float,
    labels: int,
    shown: bool,  # noqa: FBT001 - a column of the table
) -> None:
    right = _right(accuracy, labels, 0)
    found = measured_loss(right, reference=0.95, margin=0.03, level=1e5)
    assert found.shown is shown
    assert found.labels == labels


def test_a_loss_that_sets_in_late_is_told_from_where_it_set_in() -> None:
    right = np.concatenate([_right(0.95, 1000, 1), _right(0.6, 200, 2)])
    found = measured_loss(right, reference=0.95, margin=0.03, level=1e5)
    assert found.shown
    assert found.recent == pytest.approx(0.6, abs=0.06)
    assert "95.0% on the reference: a loss beyond the margin of 3.0%" in found.words


def test_no_labels_show_nothing() -> None:
    found = measured_loss(np.zeros(0, np.bool_), reference=0.9, margin=0.03, level=100.0)
    assert (found.shown, found.after, found.recent) == (False, None, None)
    assert found.words == "0 labels show no loss beyond the margin of 3.0%"
