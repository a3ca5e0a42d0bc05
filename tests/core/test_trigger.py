from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.core.trigger import Loop, Policy, decide

if TYPE_CHECKING:
    from mlops.core.triage import Kind

POLICY = Policy(enabled=True, min_new_labels=300, cooldown_minutes=10.0, max_per_month=20)
LOOP = Loop(new_labels=300, in_flight=None, minutes_since=math.inf, in_30_days=0)


def test_a_retrain_is_requested_when_every_condition_holds() -> None:
    answer = decide(POLICY, "costly", LOOP)
    assert answer.requested
    assert "300 new labels" in answer.reason


@pytest.mark.parametrize(
    ("policy", "worth", "loop", "why", "says"),
    [
        (POLICY, "quality", LOOP, "quality", "broken"),
        (POLICY, "harmless", LOOP, "not costly", "no measured loss"),
        (POLICY, "unclear", LOOP, "not costly", "no measured loss"),
        (replace(POLICY, enabled=False), "costly", LOOP, "disabled", "trigger.enabled"),
        (POLICY, "costly", replace(LOOP, in_flight="r-1"), "in flight", "r-1"),
        (POLICY, "costly", replace(LOOP, new_labels=299), "labels", "1 missing"),
        (POLICY, "costly", replace(LOOP, minutes_since=9.5), "cooldown", "1 minutes"),
        (POLICY, "costly", replace(LOOP, in_30_days=20), "budget", "the most is 20"),
        (
            replace(POLICY, max_minutes=60.0),
            "costly",
            replace(LOOP, minutes_30_days=50.0, typical_minutes=11.0),
            "budget",
            "about 11",
        ),
        (replace(POLICY, max_per_month=0), "costly", LOOP, "budget", "the most is 0"),
    ],
)
def test_a_refusal_names_the_first_condition_that_fails(
    policy: Policy, worth: Kind, loop: Loop, why: str, says: str
) -> None:
    answer = decide(policy, worth, loop)
    assert not answer.requested
    assert answer.why == why
    assert says in answer.reason


def test_no_cooldown_refuses_nothing() -> None:
    assert decide(replace(POLICY, cooldown_minutes=0.0), "costly", LOOP).requested
