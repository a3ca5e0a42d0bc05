from __future__ import annotations

import pytest

from mlops.params.budget import Budget, parse_budget


@pytest.mark.parametrize(
    ("text", "budget", "windows"),
    [
        ("1 per 1000 windows", Budget(1.0, 1000, None), 1000),
        ("2.5 per 10 windows", Budget(2.5, 10, None), 10),
        ("1 per year", Budget(1.0, None, 525_600.0), 365),
        ("3 per month", Budget(3.0, None, 43_800.0), 30),
        ("1 per day", Budget(1.0, None, 1440.0), 1),
    ],
)
def test_a_budget_is_read_and_counted_in_windows(text: str, budget: Budget, windows: int) -> None:
    assert parse_budget(text) == budget
    assert budget.per_windows(1440.0) == windows


def test_a_period_shorter_than_a_window_is_one_window() -> None:
    assert parse_budget("1 per day").per_windows(10_000.0) == 1


@pytest.mark.parametrize(
    "text",
    ["", "1", "0 per year", "1 per 0 windows", "-1 per year", "1 per decade", "one per year"],
)
def test_what_is_no_budget_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write '1 per year'"):
        parse_budget(text)
