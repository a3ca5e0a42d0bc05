from __future__ import annotations

from dataclasses import dataclass

import pytest

from mlops.adapters.estimates import errors_scored, errors_together, together
from mlops.adapters.window import Cut, Window
from mlops.core.alarm import Verdict
from mlops.core.estimate import ErrorEstimate, Score

BOUNDED, WIDE, OPEN = (
    ErrorEstimate(1.0, 0.5, 2.0), ErrorEstimate(4.0, 2.0, 8.0), ErrorEstimate(4.0, 2.0, None),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What matters of a window; one is made in the test alone: another test counts those alive."""

    rows: int
    told: ErrorEstimate | None
    labelled: int = 0
    error: float | None = None


def window(case: Case) -> Window:
    cut = Cut("digits", "1", 1, 1, case.rows, case.rows, 0.0, 60.0)
    return Window(
        cut, Verdict(case.rows, (), (), calibrated=True), case.labelled, 0, "pending", None,
        regression=True, error=case.error, error_estimate=case.told,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], None),
        ([Case(100, None)], None),
        ([Case(100, BOUNDED), Case(100, None)], BOUNDED),
        ([Case(200, BOUNDED), Case(100, WIDE)], ErrorEstimate(2.0, 1.0, 4.0)),
        ([Case(200, BOUNDED), Case(100, OPEN)], ErrorEstimate(2.0, 1.0, None)),
    ],
)
def test_estimates_of_windows_are_told_as_one(
    found: list[Case], told: ErrorEstimate | None
) -> None:
    assert errors_together([window(case) for case in found]) == told
    assert together([window(case) for case in found]) is None


@pytest.mark.parametrize(
    ("found", "score"),
    [
        ([Case(100, BOUNDED)], None),
        ([Case(100, BOUNDED, labelled=19, error=1.5)], None),
        ([Case(100, None, labelled=20, error=1.5)], None),
        ([Case(100, BOUNDED, labelled=20, error=1.5)], Score(1, 0.5, 1.0)),
        (
            [
                Case(100, BOUNDED, labelled=20, error=2.5),
                Case(100, OPEN, labelled=20, error=99.0),
            ],
            Score(2, 48.25, 0.5),
        ),
    ],
)
def test_they_are_held_against_what_was_measured(found: list[Case], score: Score | None) -> None:
    assert errors_scored([window(case) for case in found]) == score


@pytest.mark.parametrize(
    ("made", "off", "figures"),
    [
        (Case(9, None), "", "coverage unknown"),
        (Case(9, OPEN), "est. at least 2", "coverage unknown, mean absolute error est. at least"),
        (Case(9, BOUNDED), "est. 1 (0.5 to 2)", "coverage unknown, mean absolute error est. 1 ("),
        (
            Case(9, BOUNDED, labelled=8, error=1234.5),
            "1,234",
            "coverage 0.0%, mean absolute error 1,234",
        ),
    ],
)
def test_what_is_measured_is_told_in_the_place_of_its_estimate(
    made: Case, off: str, figures: str
) -> None:
    assert window(made).off == off
    assert window(made).figures.startswith(figures)
