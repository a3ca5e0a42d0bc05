from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from mlops.core.alarm import ColumnVerdict, Rule, Verdict
from mlops.core.alarm import incidents as opened_at_once
from mlops.core.continuous import (
    SHARE,
    Detector,
    alarms,
    averaged,
    e_value,
    incidents,
    limit,
)

RULE = Rule(raise_k=2, raise_n=3, clear_after=2)
DETECTOR = Detector(limit(SHARE / 1000))


def test_an_e_value_has_mean_one_at_most_under_uniform_p() -> None:
    p = np.random.default_rng(0).uniform(1e-9, 1, 200_000)
    assert np.mean([e_value(x) for x in p]) == pytest.approx(1.0, abs=0.05)


def test_evidence_adds_up_is_held_at_its_limit_and_fades() -> None:
    low = Detector(6.0)
    held = [0.0]
    for p in (1.0, 0.25, 0.25, 0.01, 1.0, 1.0):
        held.append(low.after(held[-1], p))
    assert held[1:] == [0.5, 1.5, 2.5, 6.0, 3.5, 2.25]
    assert [low.raises(r) for r in held[3:]] == [False, True, False, False]
    assert [low.clears(r) for r in held[4:]] == [False, False, True]


def test_clean_windows_alarm_less_often_than_budgeted() -> None:
    rng, detector = np.random.default_rng(1), Detector(limit(1 / 50))
    found = sum(len(alarms(detector, rng.uniform(1e-12, 1, 1000))) for _ in range(200))
    assert 0 < found < 200 * 1000 / 50


def test_small_shifts_add_up_that_no_window_shows() -> None:
    assert limit(1 / 1000) == 2000
    assert alarms(DETECTOR, [0.02] * 20)[0] < 10
    assert alarms(DETECTOR, [0.5] * 200) == []


def test_one_odd_window_is_no_evidence_of_many() -> None:
    assert alarms(DETECTOR, [1e-300, *[1.0] * 5] * 50) == []
    assert alarms(DETECTOR, [1e-300] * 4) == [3]


QUIET, SMALL = [1.0] * 40, [0.01] * 12


@pytest.mark.parametrize(
    ("over", "p", "count"),
    [
        ([], QUIET, 0),
        ([], SMALL + QUIET, 1),  # and it closes, for the next ones open another
        ([], SMALL + QUIET + SMALL, 2),
        ([], SMALL * 6, 1),  # a shift that lasts is one incident
        ([], SMALL + [1.0] * 4 + SMALL, 1),  # not faded yet, though four windows were quiet
        ([0, 1], QUIET, 1),  # one that single windows opened closes after quiet ones
        ([0, 1, 6, 7], QUIET, 2),
        ([0, 1], SMALL + QUIET, 1),  # and not while evidence of the same shift lasts
        ([0, 1, 15, 16], SMALL + QUIET, 1),
    ],
)
def test_the_complete_rule_opens_once_and_closes(
    over: list[int], p: list[float], count: int
) -> None:
    marks = [n in over for n in range(len(p))]
    assert incidents(RULE, DETECTOR, marks, p) == count


def test_without_evidence_the_complete_rule_is_the_rule_over_windows() -> None:
    marks = np.random.default_rng(3).random((50, 60)) < 0.2
    found = [incidents(RULE, DETECTOR, list(row), [1.0] * 60) for row in marks]
    assert found == opened_at_once(RULE, marks).tolist()


def test_the_complete_rule_keeps_the_whole_budget_when_each_half_keeps_its_own() -> None:
    rng, streams, windows = np.random.default_rng(4), 60, 400
    rate = 1 / 50
    detector = Detector(limit(SHARE * rate))
    # Two of three windows at the level a: about 2 a² incidents per window.
    level = np.sqrt((1 - SHARE) * rate / 2)
    p = rng.uniform(1e-12, 1, (streams, windows))
    found = sum(incidents(RULE, detector, list(row < level), list(row)) for row in p)
    assert 0 < found <= poisson.ppf(0.999, rate * p.size)


def test_a_run_of_windows_is_averaged_the_strongest_column_first() -> None:
    def verdict(a: float, b: float) -> Verdict:
        columns = (
            ColumnVerdict("a", "wasserstein", a, 0.5, drifted=False, shift=-a),
            ColumnVerdict("b", "wasserstein", b, 0.5, drifted=False, shift=b),
        )
        return Verdict(9, columns, (), calibrated=True)

    lead, other = averaged([verdict(0.4, 0.2), verdict(0.1, 0.4)])
    assert [lead.column, other.column] == ["b", "a"]
    assert [lead.value, lead.shift, other.shift] == pytest.approx([0.3, 0.3, -0.25])


@pytest.mark.parametrize("p", [0.0, -1.0, 1.5, float("nan")])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p-value"):
        e_value(p)
    with pytest.raises(ValueError, match="budget"):
        limit(0.0)
