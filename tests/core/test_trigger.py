from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.core.trigger import UNPROMPTED, Loop, Policy, automatic, decide, told
from mlops.core.worth import Worth

if TYPE_CHECKING:
    from mlops.core.triage import Kind
    from mlops.core.trigger import Cause

POLICY = Policy(enabled=True, min_new_labels=300, cooldown_minutes=10.0, max_per_month=20)
LOOP = Loop(new_labels=300, in_flight=None, minutes_since=math.inf, in_30_days=0)


@pytest.mark.parametrize(
    ("loop", "why"),
    [(LOOP, "disabled"), (replace(LOOP, new_labels=299), "labels")],
)
def test_a_loss_without_drift_asks_for_nothing_where_that_is_switched_off(
    loop: Loop, why: str
) -> None:
    off = replace(POLICY, on_loss=False)
    assert decide(off, "costly", loop, "performance").why == why
    assert decide(POLICY, "costly", LOOP, "performance").requested
    assert decide(off, "costly", LOOP, "drift").requested


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
        (
            POLICY,
            "costly",
            replace(LOOP, new_labels=0, unfit=7),
            "labels",
            "300 missing; 7 more cannot train (MLOPS_PAYLOADS, MLOPS_REDACT)",
        ),
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
        (
            replace(POLICY, min_gain=0.02),
            "costly",
            replace(LOOP, worth=Worth(0.0, -0.01, 0.01, rows=400, on="a head")),
            "gain",
            "not worth it: a head refitted on new rows gives accuracy +0.0 pp (−1.0 pp to +1.0 pp)",
        ),
    ],
)
def test_a_refusal_names_the_first_condition_that_fails(
    policy: Policy, worth: Kind, loop: Loop, why: str, says: str
) -> None:
    answer = decide(policy, worth, loop)
    assert not answer.requested
    assert answer.why == why
    assert says in answer.reason


@pytest.mark.parametrize(
    ("least", "worth"),
    [
        (0.02, None),
        (0.02, Worth(trouble="hardly a row")),
        (0.02, Worth(0.0, -0.1, 0.02, rows=40)),  # it may be worth it
        (None, Worth(-0.1, -0.2, -0.05, rows=400)),  # it advises, and refuses nothing
    ],
)
def test_only_a_probe_that_leaves_no_hope_refuses(least: float | None, worth: Worth | None) -> None:
    assert decide(replace(POLICY, min_gain=least), "costly", replace(LOOP, worth=worth)).requested


def test_no_cooldown_refuses_nothing() -> None:
    assert decide(replace(POLICY, cooldown_minutes=0.0), "costly", LOOP).requested


@pytest.mark.parametrize(
    ("cause", "labels", "why", "says"),
    [
        ("performance", 299, "labels", "299 of 300 new labels"),
        ("performance", 300, "granted", "measured loss without drift"),
        ("labels", 499, "labels", "499 of 500 new labels; 1 missing"),
        ("labels", 500, "granted", "500 new labels since the last retrain"),
        ("schedule", 0, "granted", "trigger.schedule says so; 0 new labels"),
    ],
)
def test_each_cause_has_its_own_number_of_labels(
    cause: Cause, labels: int, why: str, says: str
) -> None:
    policy = replace(POLICY, on_new_labels=500)
    answer = decide(policy, "costly", replace(LOOP, new_labels=labels), cause)
    assert answer.why == why
    assert says in answer.reason


@pytest.mark.parametrize("cause", UNPROMPTED)
def test_no_cause_gets_round_cooldown_budget_flight_or_broken_data(cause: Cause) -> None:
    policy, loop = replace(POLICY, on_new_labels=1), replace(LOOP, minutes_since=1.0)
    assert decide(policy, "costly", loop, cause).why == "cooldown"
    assert decide(policy, "costly", replace(loop, in_flight="r-1"), cause).why == "in flight"
    assert decide(policy, "costly", replace(LOOP, in_30_days=20), cause).why == "budget"
    assert decide(policy, "quality", LOOP, cause).why == "quality"
    assert decide(replace(policy, enabled=False), "costly", LOOP, cause).why == "disabled"


def test_a_recorded_reason_tells_a_cause_from_a_person() -> None:
    assert all(automatic(told(cause, "x")) for cause in UNPROMPTED)
    assert not automatic("by hand")
    assert not automatic("drift: brightness")  # behind it stands an incident
