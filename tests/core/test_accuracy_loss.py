from __future__ import annotations

import numpy as np
import pytest

from mlops.core.accuracy_loss import Promise, began, over, shown

PROMISE = Promise(accuracy=0.95, labels=2000, margin=0.03, min_labels=50)
RATE = 0.001


def _told(accuracy: float, windows: int, labels: int, seed: int = 0) -> list[tuple[int, int]]:
    right = np.random.default_rng(seed).binomial(labels, accuracy, windows)
    return [(int(n), labels) for n in right]


@pytest.mark.parametrize(
    ("accuracy", "windows", "labels", "expected"),
    [
        (0.95, 60, 100, False),
        (0.92, 60, 100, False),  # just the margin
        (0.7, 3, 100, True),
        (0.7, 8, 20, True),  # few labels a window add up
        (0.0, 1, 49, False),  # certain, and fewer labels than count as measured
    ],
)
def test_what_is_lost_beyond_the_margin_shows_and_nothing_else(
    accuracy: float,
    windows: int,
    labels: int,
    expected: bool,
) -> None:
    found = shown(_told(accuracy, windows, labels), PROMISE, RATE)
    assert (found is not None) is expected


def test_a_loss_that_sets_in_late_is_told_from_where_it_set_in() -> None:
    told = _told(0.95, 20, 100) + _told(0.6, 3, 100)
    assert shown(told, PROMISE, RATE) == 20


def test_at_the_margin_no_more_is_shown_than_the_budget_says() -> None:
    """The worst case that is no loss, in 60 streams of 50 windows: 3 are budgeted in all."""
    streams = (_told(0.92, 50, 100, seed) for seed in range(60))
    assert sum(shown(told, PROMISE, RATE) is not None for told in streams) <= 3


def test_a_reference_of_few_labels_promises_less() -> None:
    told = [(84, 100)] * 6
    assert shown(told, PROMISE, RATE) is not None
    assert shown(told, Promise(0.95, 40, 0.03, 50), RATE) is None


def test_it_is_over_once_enough_labels_say_so_more_than_once() -> None:
    well = [(95, 100)] * 12
    assert over(well, PROMISE, 2)
    assert not over(well[:3], PROMISE, 2)  # a loss of the margin would not show on 300 labels
    assert not over([*well, (40, 100)], PROMISE, 2)
    assert not over([], PROMISE, 2)


@pytest.mark.parametrize(
    ("losses", "place"),
    [
        ([0.0, 0.0, 0.2, 0.1], 2),
        ([0.2, 0.2], 0),
        ([0.2, -0.2, -0.2, 0.0], 3),
        ([0.1, -0.5, 0.1], 2),
    ],
)
def test_a_loss_began_after_the_last_minimum(losses: list[float], place: int) -> None:
    assert began([(n, 100, loss) for n, loss in enumerate(losses)], 0.03) == place
