from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from mlops.core.realised import Realised, keeps_budget


@pytest.mark.parametrize(
    ("false", "windows", "keeps"),
    [(0, 0, True), (0, 9, True), (1, 20, True), (2, 10, False), (3, 1000, True), (5, 1000, False)],
)  # fmt: skip
def test_more_false_incidents_than_chance_explains_are_seen(
    false: int,
    windows: int,
    keeps: bool,
) -> None:
    assert keeps_budget(false, windows, 0.001) is keeps
    chance = stats.poisson.sf(false - 1, windows * 0.001)
    assert bool(chance > 0.01) is keeps


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="below 0"):
        keeps_budget(-1, 5, 0.1)


NONE = Realised(
    windows=400, alarming=3, counted=390, incidents=2, false_incidents=0, unmeasured=0, overdue=0,
    breaks=0, budget=0.39, retrains=0, false_retrains=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "2 incidents, 0 of them false (budget 0.39 in 390 windows); 0 retrains asked for"),
        (
            {"unmeasured": 2},
            "between 0 and 2 of them false (budget 0.39 in 390 windows), 2 not measured; 0 retr",
        ),
        (
            {"unmeasured": 5, "overdue": 4},
            "5 not measured (4 past their labels' time): more than budgeted if those past it were",
        ),
        (
            {"false_incidents": 8, "unmeasured": 1},
            "between 8 and 9 of them false (budget 0.39 in 390 windows), 1 not measured: MORE THAN",
        ),
        (
            {"breaks": 2, "retrains": 3, "false_retrains": 1},
            "windows); 2 quality breaks; 3 retrains asked for, 1 of them false",
        ),
    ],
)
def test_what_came_of_alarms_is_told_in_one_line(told: dict[str, int], words: str) -> None:
    assert words in replace(NONE, **told).note


@pytest.mark.parametrize(
    ("told", "within", "surely"),
    [
        ({"unmeasured": 9}, True, True),  # their labels may come
        ({"unmeasured": 9, "overdue": 9}, True, False),
        ({"false_incidents": 9}, False, False),
        ({"false_incidents": 1, "unmeasured": 1, "overdue": 1}, True, True),
    ],
)
def test_the_alarm_rests_on_what_was_measured(
    told: dict[str, int], within: bool, surely: bool
) -> None:
    found = replace(NONE, incidents=9, **told)
    assert (found.within, found.surely_within) == (within, surely)
