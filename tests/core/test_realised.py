from __future__ import annotations

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


def test_what_came_of_alarms_is_told_in_one_line() -> None:
    few = Realised(400, 3, 2, 1, 1, 0.4, 1, 1)
    assert few.within
    assert str(few) == (
        "3 of 400 windows; 2 incidents, 1 of them false (budget 0.40), 1 not measured; "
        "1 retrains asked for, 1 of them false"
    )
    many = Realised(400, 40, 9, 8, 0, 0.4, 0, 0)
    assert not many.within
    assert "MORE THAN BUDGETED, beyond chance" in many.note
