from __future__ import annotations

import numpy as np
import pytest

from mlops.core.alarm import ColumnVerdict, Rule, Verdict, incidents, judge, worse
from mlops.core.thresholds import Thresholds

RULE = Rule(raise_k=2, raise_n=3, clear_after=2)


def stream(text: str) -> list[bool]:
    return [mark == "x" for mark in text]


@pytest.mark.parametrize(
    ("windows", "raises"),
    [("", False), ("x", False), ("xx", True), ("x.x", True), ("x..x", False), ("..xx.", True)],
)
def test_an_incident_opens_by_k_of_n(windows: str, raises: bool) -> None:
    assert RULE.raises(stream(windows)) is raises


@pytest.mark.parametrize(
    ("windows", "clears"), [("", False), (".", False), ("..", True), ("x..", True), (".x.", False)]
)
def test_an_incident_closes_after_quiet_windows(windows: str, clears: bool) -> None:
    assert RULE.clears(stream(windows)) is clears


@pytest.mark.parametrize(
    ("windows", "count"),
    [
        ("......", 0), ("x..x..", 0), ("xx....", 1), ("xxxxxx", 1), ("xx.x.x", 1), ("xx..xx", 2),
        ("xx..x.", 1),  # what came before the clearing is forgotten
    ],
)  # fmt: skip
def test_the_simulated_rule_is_the_rule(windows: str, count: int) -> None:
    marks = stream(windows)
    assert incidents(RULE, np.array([marks, marks])).tolist() == [count, count]
    opened, since, found = False, list[bool](), 0
    for mark in marks:
        since.append(mark)
        if not opened and RULE.raises(since):
            opened, since, found = True, [], found + 1
        elif opened and RULE.clears(since):
            opened, since = False, []
    assert found == count


@pytest.mark.parametrize(
    ("told", "now", "news"),
    [
        (1, 1, False), (1, 2, False), (1, 3, True), (2, 3, False), (2, 4, True), (3, 4, True),
        (4, 5, False), (5, 5, False), (5, 1, False), (0, 5, False),
    ],
)  # fmt: skip
def test_two_steps_or_one_beyond_three_are_told_again(told: int, now: int, news: bool) -> None:
    assert worse(told, now) is news


def _thresholds() -> Thresholds:
    return Thresholds(
        columns=("a", "predicted"), limits=(0.2, 0.3), means=(0.05, 0.1), min_effect=0.1,
        window_rows=100, reference_rows=1000, rate=0.001, budget=0.002, z=4.0,
        tail=(0.0,) * 9, block=1, calibrated=True, reason="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "alarm", "severity"),
    [
        (0.19, False, 1),
        (0.2, True, 1),
        (0.4, True, 2),
        (0.6, True, 3),
        (1.0, True, 4),
        (2, True, 5),
    ],
)
def test_a_value_at_its_threshold_is_drift_as_in_evidently(
    value: float,
    alarm: bool,
    severity: int,
) -> None:
    verdict = judge(_thresholds(), np.array([value, 0.0]), np.array([-0.1, 0.0]), 100)
    assert verdict.alarm is alarm
    assert verdict.severity == severity
    assert [c.column for c in verdict.drifted] == (["a"] if alarm else [])
    assert [c.method for c in verdict.columns] == ["wasserstein", "jensenshannon"]


def test_broken_data_alarms_at_the_highest_severity() -> None:
    quiet = ColumnVerdict("a", "wasserstein", 0.0, 0.2, drifted=False, shift=0.0)
    verdict = Verdict(100, (quiet,), ("blank: all",), calibrated=True)
    assert verdict.alarm
    assert verdict.severity == 5
