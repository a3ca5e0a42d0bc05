from __future__ import annotations

import pytest

from mlops.core.alarm import ColumnVerdict
from mlops.core.words import in_words


@pytest.mark.parametrize(
    ("column", "shift", "mean", "said"),
    [
        ("brightness", -0.18, 1.0, "18 % darker than the reference"),
        ("saturation", -0.1, 0.5, "20 % paler than the reference"),
        ("length", 20.0, 40.0, "50 % longer than the reference"),
        ("unknown_words", 0.1, 0.1, "100 % more words that it never read than the reference"),
        ("distinct_words", -0.2, 0.8, "25 % more repeated words than the reference"),
        ("embedding 1 of 4", -0.8, 0.0, "the model's picture of its input moved by 0.80 sd"),
        ("embedding 2 of 4", 0.01, 0.0, "is spread differently around the same mean"),
        ("embedding beyond the 4", 0.3, 2.0, "15 % farther from what it was: a new kind of input?"),
        ("embedding beyond the 4", -0.3, 2.0, "15 % closer to what it was"),
        ("embedding beyond the 4", 0.001, 2.0, "the model's picture of its input is spread"),
        ("embedding 1 of 4 given the rest", 0.5, 0.0, "input (embedding 1 of 4) is 0.50 sd higher"),
    ],
)
def test_a_change_is_told_in_units_that_a_person_knows(
    column: str, shift: float, mean: float, said: str
) -> None:
    verdict = ColumnVerdict(column, "wasserstein", 1.0, 0.5, drifted=True, shift=shift)
    assert said in in_words(verdict, mean)
