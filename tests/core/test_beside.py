"""How far two models' answers agree: of classes by the likeliest, of a number by its median."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.core.beside import agreed, apart

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("said", "served", "classes", "same"),
    [
        ([0.6, 0.3, 0.1], [0.4, 0.3, 0.3], True, True),
        ([0.1, 0.3, 0.6], [0.4, 0.3, 0.3], True, False),
        ([NAN, 0.3, 0.6], [0.4, 0.3, 0.3], True, False),
        ([0.4, INF, 0.6], [0.3, 0.4, 0.3], True, False),
        ([-3, 0, 3], [-1, 0.5, 1], False, True),
        ([-1, 1, 3], [-1, 0.5, 1], False, True),
        ([-5, -1, 3], [-1, 0.5, 1], False, True),
        ([-1, 1.01, 3], [-1, 0.5, 1], False, False),
        ([4000, 5000, 6000], [-1, 0, 1], False, False),
        ([-1, 0, 1], [4000, 5000, 6000], False, False),
        ([-1, NAN, 1], [-1, 0, 1], False, False),
        ([-1, 0, INF], [-1, 0, 1], False, False),
    ],
)
def test_a_row_agrees_or_does_not(
    said: list[float], served: list[float], classes: bool, same: bool
) -> None:
    one, other = (np.array([row], np.float32) for row in (said, served))
    assert agreed(one, other, classes=classes).tolist() == [same]


def test_numbers_of_another_size_agree_nowhere() -> None:
    """Sorted quantiles have their largest in the last place, whatever they say."""
    random = np.random.default_rng(0)
    served = np.sort(random.normal(0, 1, (1000, 3)), axis=1).astype(np.float32)
    said = np.sort(random.normal(5000, 900, (1000, 3)), axis=1).astype(np.float32)
    assert not agreed(said, served, classes=False).any()
    assert agreed(served, served, classes=False).all()
    assert apart(said, served) == pytest.approx(5000, rel=0.05)
    assert apart(served, served) == 0.0


def test_what_is_no_number_is_not_apart() -> None:
    said, served = np.zeros((3, 3), np.float32), np.ones((3, 3), np.float32)
    said[0] = np.nan
    assert apart(said, served) == 1.0
    assert apart(said[:1], served[:1]) is None
    assert apart(said[:0], served[:0]) is None
