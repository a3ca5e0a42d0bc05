from __future__ import annotations

import numpy as np
import pytest

from mlops.core.continuous import alarms, e_value, evidence, limit


def test_an_e_value_has_mean_one_at_most_under_uniform_p() -> None:
    p = np.random.default_rng(0).uniform(1e-9, 1, 200_000)
    assert np.mean([e_value(x) for x in p]) == pytest.approx(1.0, abs=0.05)


def test_evidence_adds_up_and_starts_anew() -> None:
    assert list(evidence([1.0, 0.25, 0.25])) == [0.5, 1.5, 2.5]
    assert list(evidence([0.25])) == [1.0]


def test_clean_windows_alarm_less_often_than_budgeted() -> None:
    rng = np.random.default_rng(1)
    found = sum(len(alarms(rng.uniform(1e-12, 1, 1000), 1 / 50)) for _ in range(200))
    assert 0 < found < 200 * 1000 / 50


def test_small_shifts_add_up_that_no_window_shows() -> None:
    assert limit(1 / 1000) == 2000
    first = alarms([0.02] * 20, 1 / 1000)
    assert first[0] < 10
    assert alarms([0.5] * 200, 1 / 1000) == []


@pytest.mark.parametrize("p", [0.0, -1.0, 1.5, float("nan")])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p-value"):
        e_value(p)
    with pytest.raises(ValueError, match="budget"):
        limit(0.0)
