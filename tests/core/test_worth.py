from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mlops.core.trigger import Loop, Policy
from mlops.core.worth import Worth

POLICY = Policy(enabled=True, min_new_labels=1, cooldown_minutes=0.0, max_per_month=20)
LOOP = Loop(new_labels=400, in_flight=None, minutes_since=math.inf, in_30_days=3)
WORTH = Worth(0.06, 0.03, 0.09, rows=240, older=200, on="its last layer")


@pytest.mark.parametrize(
    ("least", "says"), [(0.03, "worth it"), (0.031, "may be worth it"), (0.0901, "not worth it")]
)
def test_the_interval_is_held_against_the_least_gain(least: float, says: str) -> None:
    assert WORTH.says(least) == says
    assert replace(WORTH, trouble="no rows").says(least) == "no probe"


def test_gain_and_cost_are_one_sentence() -> None:
    policy = replace(POLICY, max_minutes=60.0)
    loop = replace(LOOP, typical_minutes=2.5, minutes_30_days=12.0)
    assert WORTH.words(policy, loop, 0.01) == (
        "worth it: its last layer refitted on new rows and 200 older ones gives accuracy +6.0 pp "
        "(+3.0 pp to +9.0 pp) at 95 % on 240 new rows, all layers maybe more; "
        "trigger.min_gain asks for +1.0 pp; "
        "cost about 2.5 min, 17 of 20 retrains left in 30 days, 48 of 60 minutes"
    )
    brief = "probe +6.0 pp (+3.0 pp to +9.0 pp) by its head alone, cost about 2.5 min"
    assert WORTH.brief(loop) == brief


def test_a_regressions_gain_is_a_share_of_its_error() -> None:
    worth = replace(WORTH, regression=True, older=0)
    words = worth.words(POLICY, LOOP, 0.01)
    assert "gives mean absolute error smaller by +6.0 % (+3.0 % to +9.0 %)" in words
    assert "asks for +1.0 %; cost not known yet, 17 of 20 retrains left in 30 days" in words


def test_what_could_not_be_probed_says_why() -> None:
    worth = Worth(trouble="12 labelled rows may train and measure, 50 are needed")
    assert worth.brief(LOOP) == f"no probe: {worth.trouble}"
    assert worth.words(POLICY, LOOP, 0.01).startswith(f"no probe of the gain: {worth.trouble}; ")
