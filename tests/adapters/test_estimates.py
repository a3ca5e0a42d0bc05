from __future__ import annotations

import pytest

from mlops.adapters.estimates import errors_scored, errors_together, together
from mlops.adapters.window import Cut, Window
from mlops.core.alarm import Verdict
from mlops.core.estimate import ErrorEstimate, Score

BOUNDED, WIDE, OPEN = (
    ErrorEstimate(1.0, 0.5, 2.0), ErrorEstimate(4.0, 2.0, 8.0), ErrorEstimate(4.0, 2.0, None),
)  # fmt: skip


def window(
    rows: int, told: ErrorEstimate | None, *, labelled: int = 0, error: float | None = None
) -> Window:
    cut = Cut("digits", "1", 1, 1, rows, rows, 0.0, 60.0)
    return Window(
        cut, Verdict(rows, (), (), calibrated=True), labelled, 0, "pending", None, regression=True,
        error=error, error_estimate=told,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], None),
        ([window(100, None)], None),
        ([window(100, BOUNDED), window(100, None)], BOUNDED),
        ([window(200, BOUNDED), window(100, WIDE)], ErrorEstimate(2.0, 1.0, 4.0)),
        ([window(200, BOUNDED), window(100, OPEN)], ErrorEstimate(2.0, 1.0, None)),
    ],
)
def test_estimates_of_windows_are_told_as_one(
    found: list[Window], told: ErrorEstimate | None
) -> None:
    assert errors_together(found) == told
    assert together(found) is None


@pytest.mark.parametrize(
    ("found", "score"),
    [
        ([window(100, BOUNDED)], None),
        ([window(100, BOUNDED, labelled=19, error=1.5)], None),
        ([window(100, None, labelled=20, error=1.5)], None),
        ([window(100, BOUNDED, labelled=20, error=1.5)], Score(1, 0.5, 1.0)),
        (
            [
                window(100, BOUNDED, labelled=20, error=2.5),
                window(100, OPEN, labelled=20, error=99.0),
            ],
            Score(2, 48.25, 0.5),
        ),
    ],
)
def test_they_are_held_against_what_was_measured(found: list[Window], score: Score | None) -> None:
    assert errors_scored(found) == score


@pytest.mark.parametrize(
    ("made", "off", "figures"),
    [
        (window(9, None), "", "coverage unknown"),
        (window(9, OPEN), "est. at least 2", "coverage unknown, mean absolute error est. at least"),
        (window(9, BOUNDED), "est. 1 (0.5 to 2)", "coverage unknown, mean absolute error est. 1 ("),
        (
            window(9, BOUNDED, labelled=8, error=1234.5),
            "1,234",
            "coverage 0.0%, mean absolute error 1,234",
        ),
    ],
)
def test_what_is_measured_is_told_in_the_place_of_its_estimate(
    made: Window, off: str, figures: str
) -> None:
    assert made.off == off
    assert made.figures.startswith(figures)
