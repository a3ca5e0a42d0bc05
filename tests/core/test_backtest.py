from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.adapters.learners import quick
from mlops.core.alarm import Rule
from mlops.core.backtest import backtest
from mlops.core.calibration import Rules as Calibration
from mlops.core.past import Cutting, Past, cut
from mlops.core.past_gate import Judging
from mlops.core.past_plan import Plan
from mlops.core.past_service import Dealing, Learnt, install
from mlops.core.past_trigger import probe
from mlops.core.rules import Rules
from mlops.core.training_window import Window
from mlops.core.trigger import Policy
from tests.streams import stream, unlabelled

if TYPE_CHECKING:
    from mlops.core.past_service import Weights

GATE = Rules(
    margin=0.0, alpha=0.05, power=0.8, effect=0.03, min_rows=20, min_coverage=0.9,
    anchor_margin=0.05, non_inferiority=(("log_loss", 0.5),), floors=(("accuracy", 0.6),),
    ceilings=(("latency_ms", 1.0), ("ece", 0.3)), slices=(), protected=(), required_slices=(),
    min_slice_rows=1000, resamples=500, seed=7, gap_s=0.0, block_s=0.0,
)  # fmt: skip

RULES = Calibration(100, 1.0, 1000, 0.1, 200, 7, Rule(2, 3, 2), 4000)


def plan(past: Past, **changes: Any) -> Plan:
    windows = cut(past.observed_s, Cutting("rows", 100, 1e9, 80))
    made = Plan(
        windows=windows, first=10,
        rules=RULES, gathering=None, margin=0.05,
        min_labels=50, delay_s=60.0,
        policy=Policy(enabled=True, min_new_labels=400, cooldown_minutes=10.0, max_per_month=20),
        judging=Judging(GATE, 30.0), dealing=Dealing(0.3, 0.0, 500, Window()), since_loss=True,
    )  # fmt: skip
    return replace(made, **changes)


def logistic(train: Past, validation: Past, weights: tuple[Weights, Weights]) -> Learnt:
    """Fit the sign of the first column's slope: what a model of this stream must find."""
    joint = np.cov(train.features[:, 0], train.label, aweights=weights[0])
    slope = 4.0 * np.sign(joint[0, 1])

    def answers(given: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        yes = 1 / (1 + np.exp(-slope * np.nan_to_num(given[:, 0])))
        return np.column_stack([1 - yes, yes]).astype(np.float32)

    return Learnt(answers, 0.5)


def test_a_quiet_stream_stays_quiet() -> None:
    past = stream(4000)
    found = backtest(past, plan(past), logistic)
    s = found.summary()
    assert (s.windows, s.incidents, s.retrains) == (30, 0, 0)
    assert s.accuracy == s.accuracy_static
    assert s.minutes == 0.5


def test_a_change_that_no_input_shows_is_found_answered_and_over() -> None:
    past = stream(4000, changed_at=2000)
    found = backtest(past, plan(past), logistic)
    s = found.summary()
    assert (s.incidents, s.costly, s.promotions) == (1, 1, 1)
    [one] = found.episodes
    assert one.detector == "accuracy"
    assert one.opened in (20, 21)
    assert one.closed is not None
    last = found.steps[-1]
    assert last.accuracy is not None
    assert last.accuracy > 0.8
    assert (last.accuracy_static or 0.0) < 0.3
    assert (s.accuracy or 0.0) > (s.accuracy_static or 0.0) + 0.2
    assert (s.days_degraded or 0.0) < (s.days_degraded_static or 0.0)
    promoted = found.retrains[-1]
    assert promoted.promoted is not None
    served = {step.version for step in found.steps[promoted.promoted - found.first + 1 :]}
    assert served == {promoted.version}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policy": Policy(False, 400, 10.0, 20)}, "trigger.enabled is false"),
        ({"delay_s": 1e9}, ""),
        ({"since_loss": False, "policy": Policy(True, 100, 1e9, 20)}, "cooldown"),
    ],
)
def test_the_trigger_holds_it_back(changes: dict[str, Any], said: str) -> None:
    past = stream(4000, changed_at=2000)
    found = backtest(past, plan(past, **changes), logistic)
    events = [event for step in found.steps for event in step.events]
    assert any(said in event for event in events) or not said
    assert found.summary().promotions <= 1
    if not said:  # labels that never come measure nothing
        assert (found.summary().incidents, found.summary().retrains) == (0, 0)


def test_a_loss_asks_for_nothing_where_that_is_switched_off() -> None:
    past = stream(4000, changed_at=2000)
    off = replace(plan(past).policy, on_loss=False)
    found = backtest(past, plan(past, policy=off), logistic)
    assert [e.detector for e in found.episodes] == ["accuracy"]
    assert found.retrains == ()
    events = [event for step in found.steps for event in step.events]
    assert sum("trigger.on_loss is false" in event for event in events) == 1


@pytest.mark.parametrize(
    ("delay_s", "known"),
    [(0.0, 100), (60.0, 100), (99 * 300.0, 100), (100 * 300.0, 0), (150 * 300.0, -50)],
)
def test_a_window_is_looked_at_once_its_labels_came_if_they_come_before_the_next(
    delay_s: float, known: int
) -> None:
    past = stream(300)
    made = plan(past, first=1, delay_s=delay_s)
    assert made.known_until_s(past.observed_s, 0) == past.observed_s[0] + 300.0 * (known - 1)
    # Nothing comes after the last window: it is looked at as it ends.
    assert made.known_until_s(past.observed_s, 2) == past.observed_s[-1] - delay_s


def test_new_labels_ask_for_a_retrain_in_a_quiet_stream() -> None:
    past = stream(4000)
    often = replace(plan(past).policy, on_new_labels=500)
    found = backtest(past, plan(past, policy=often), logistic)
    assert found.summary().incidents == 0
    assert {r.cause for r in found.retrains} == {"labels"}
    assert [r.asked for r in found.retrains] == [14, 19, 24, 29, 34]
    rows = [r.rows for r in found.retrains]
    assert rows[0] > 800  # no loss began anywhere: from all that is known
    assert rows == sorted(rows)


@pytest.mark.parametrize(
    ("cooldown", "asked", "said"),
    [(10.0, [12, 13, 20], ""), (2000.0, [12, 20], "no retrain for schedule: the last retrain was")],
)
def test_the_clock_asks_for_a_retrain_in_a_quiet_stream(
    cooldown: float, asked: list[int], said: str
) -> None:
    past = stream(3000)
    policy = replace(plan(past).policy, cooldown_minutes=cooldown)
    clock = frozenset({12, 13, 20})
    found = backtest(past, plan(past, policy=policy, scheduled=clock), logistic)
    assert [(r.asked, r.cause) for r in found.retrains] == [(at, "schedule") for at in asked]
    events = [event for step in found.steps for event in step.events]
    assert any(said in event for event in events)


def test_what_the_clock_asks_for_waits_while_data_is_broken() -> None:
    past = stream(3000)
    past.features[1500:1700] = np.nan
    found = backtest(past, plan(past, scheduled=frozenset({15, 17, 25})), logistic)
    assert [e.detector for e in found.episodes] == ["quality"]
    assert [r.asked for r in found.retrains] == [25]  # the break is over after two sound windows
    events = found.steps[15 - found.first].events
    assert "no retrain for schedule: the data is broken; a person must look first" in events


def test_by_policy_a_retrain_learns_from_all_of_it_as_the_training_window_says() -> None:
    past = stream(4000, changed_at=2400)
    rows: dict[str, list[int]] = {}
    spread: dict[str, float] = {}
    for name in ("all", "weighted", "sliding"):
        given: list[Weights] = []

        def learner(
            train: Past, validation: Past, weights: tuple[Weights, Weights], into: Any = given
        ) -> Learnt:
            into.append(weights[0])
            return logistic(train, validation, weights)

        window = Window(policy=name, half_life_days=1.0, rows=400)
        dealing = Dealing(0.3, 0.0, 500, window)
        found = backtest(past, plan(past, since_loss=False, dealing=dealing), learner)
        rows[name] = [retrain.rows for retrain in found.retrains]
        spread[name] = float(max(one.max() / one.min() for one in given))
    assert rows["all"] == rows["weighted"] == sorted(rows["all"])
    assert rows["all"][-1] > rows["all"][0] > 1000
    assert set(rows["sliding"]) == {400}
    assert (spread["all"], spread["sliding"]) == (1.0, 1.0)
    assert spread["weighted"] > 100.0


def test_too_few_rows_to_judge_wait_for_more_and_are_judged_again() -> None:
    past = stream(4000, changed_at=2000)
    strict = replace(GATE, min_rows=60)
    found = backtest(past, plan(past, judging=Judging(strict, 30.0)), logistic)
    events = [event for step in found.steps for event in step.events]
    assert "inconclusive" in events
    assert events.index("inconclusive") < events.index("promoted")


def test_a_margin_judges_against_the_anchor_too() -> None:
    past = stream(4000, changed_at=2000)
    lenient = Judging(replace(GATE, margin=0.02), 30.0)
    assert backtest(past, plan(past, judging=lenient), logistic).summary().promotions == 1


def test_a_retrain_that_cannot_be_fitted_is_told() -> None:
    past = stream(4000, changed_at=2000)
    window = plan(past).windows
    calls: list[int] = []

    def once(train: Past, validation: Past, weights: tuple[Weights, Weights]) -> Learnt:
        calls.append(len(train))
        if len(calls) > 1:
            raise ValueError("no")
        return logistic(train, validation, weights)

    found = backtest(past, plan(past, windows=window[:30]), once)
    assert found.summary().failed == len(found.retrains) > 0


def test_broken_data_blocks_the_retrain() -> None:
    past = stream(4000, changed_at=2000)
    past.features[2000:3000] = np.nan
    found = backtest(past, plan(past), logistic)
    assert found.summary().broken == 1
    assert all(step.worth == "quality" for step in found.steps[10:20])
    assert all(retrain.asked >= 30 for retrain in found.retrains)


def test_rows_that_come_in_unlike_before_count_against_the_budget_as_drift_does() -> None:
    past = stream(4000)
    past.key[2000:2100] = past.key[2000]  # one window of one example
    found = backtest(past, plan(past), logistic)
    [one] = [e for e in found.episodes if e.detector == "quality"]
    assert one.cause.startswith("stuck: ")
    told = found.summary()
    assert (told.broken, told.incidents) == (0, len(found.episodes))
    assert told.incidents == told.costly + told.false_alarms + told.noted + told.unsettled


def test_limits_that_the_first_model_misses_are_left_out_and_said() -> None:
    past = stream(2000)
    harsh = replace(GATE, floors=(("accuracy", 0.999),), ceilings=(("ece", 0.0),))
    left_out = backtest(past, plan(past, judging=Judging(harsh, 30.0)), logistic).left_out
    assert [words.split(" = ")[0] for words in left_out] == [
        "gate.floors.accuracy", "gate.ceilings.ece",
    ]  # fmt: skip


def test_a_reference_without_labels_measures_nothing() -> None:
    past = stream(2000)
    bare = unlabelled(past, np.arange(2000) >= 600)
    found = backtest(bare, plan(bare, first=10), logistic)
    assert found.reference is None or found.reference > 0.5
    assert found.steps[-1].accuracy is None


@pytest.mark.parametrize("numbers", [False, True])
def test_a_probe_that_decides_refuses_what_gains_too_little_and_nothing_else(
    numbers: bool,
) -> None:
    past = stream(4000, changed_at=2000, numbers=numbers)
    first = install(past, np.arange(1000), quick(past.schema), (plan(past).dealing, RULES), 1)
    told = probe(first, past, slice(2000, 2600), older=False)
    assert (told.trouble, told.older) == ("", 0)
    assert told.rows == (past.side[2000:2600] != "test").sum()
    assert told.gain > (0.4 if numbers else 0.6)
    both = probe(first, past, slice(2000, 2600), older=True)
    assert 0 < both.older <= both.rows  # of those that it was fitted on
    assert both.gain < told.gain  # they contradict the new ones
    quiet = probe(first, past, slice(1200, 1800), older=True)
    assert quiet.says(0.1) == "not worth it"
    few = probe(first, past, slice(2000, 2050), older=True)
    assert "labelled rows may train and measure, 50 are needed" in few.trouble


def test_a_walk_is_refused_by_its_probe_and_a_probe_that_cannot_be_made_refuses_nothing() -> None:
    past = stream(4000, changed_at=2000)
    asked = plan(past).policy
    found = backtest(past, plan(past, policy=replace(asked, min_gain=0.99)), logistic)
    events = [event for step in found.steps for event in step.events]
    assert sum(e.startswith("no retrain: not worth it: a head on the watched") for e in events) == 1
    assert found.summary().retrains == 0
    worth = backtest(past, plan(past, policy=replace(asked, min_gain=0.01)), logistic)
    assert [r.outcome for r in worth.retrains][-1] == "promote"
    hard = replace(past, active=np.arange(4000) >= 2000)
    assert backtest(hard, plan(hard, policy=replace(asked, min_gain=0.99)), logistic).retrains
