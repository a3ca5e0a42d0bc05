from __future__ import annotations

import math

import pytest

from mlops.core.awaited import Wanted, labels_wanted
from mlops.core.trigger import Loop, Policy


@pytest.mark.parametrize(
    ("measuring", "measured", "new", "enabled", "expected"),
    [
        (120, 0, 0, True, Wanted(800, "trigger.min_new_labels = 800")),
        (120, 0, 790, True, Wanted(10, "monitoring.accuracy_margin = 0.03")),
        (20, 30, 800, True, Wanted(0, "monitoring.min_labels = 50")),
        (120, 0, 0, False, Wanted(0, "monitoring.accuracy_margin = 0.03")),
        (0, 120, 120, True, Wanted(680, "trigger.min_new_labels = 800")),
        (0, 120, 900, True, Wanted(0, "")),
    ],
)
def test_the_larger_need_decides_and_its_setting_is_named(
    measuring: int,
    measured: int,
    new: int,
    enabled: bool,
    expected: Wanted,
) -> None:
    policy = Policy(enabled, 800, 10.0, 20)
    loop = Loop(new, None, math.inf, 0)
    assert expected == labels_wanted(
        measuring, measured=measured, min_labels=50, margin=0.03, policy=policy, loop=loop
    )
