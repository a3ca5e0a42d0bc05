from __future__ import annotations

import pytest

from mlops.core.alarm import Rule
from mlops.core.past_watch import Watch
from mlops.core.triage import Triage

RULE = Rule(2, 3, 2)


def watch() -> Watch:
    return Watch(RULE, rate=0.001, margin=0.03)


def test_drift_opens_by_k_of_n_and_closes_after_quiet_windows() -> None:
    seen = watch()
    said = [seen.judge(place, column, "") for place, column in enumerate(["x", "", "y", "", ""])]
    assert said == ["", "", "opened", "", "closed"]
    [one] = seen.episodes
    assert (one.detector, one.cause, one.since, one.opened, one.closed) == ("drift", "y", 0, 2, 4)


def test_broken_data_opens_at_once_and_is_no_evidence_of_drift() -> None:
    seen = watch()
    assert seen.judge(0, "", "blank: all of it") == "opened"
    assert seen.judge(1, "", "blank: all of it") == ""
    assert [seen.judge(n, "", "") for n in (2, 3)] == ["", "closed"]
    assert seen.episodes[0].detector == "quality"


def test_a_measured_loss_opens_though_no_input_moved() -> None:
    seen = watch()
    for place in range(4):
        seen.measure(place, 90, 100, (0.9, 0.86))
        assert seen.judge(place, "", "") == ""
    for place in range(4, 7):
        seen.measure(place, 55, 100, (0.9, 0.86))
    assert seen.judge(6, "", "") == "opened"
    assert seen.held is not None
    assert (seen.held.detector, seen.held.since) == ("accuracy", 4)
    # It stays open while windows lose more than the margin, and a new version begins anew.
    assert [seen.judge(n, "", "") for n in (7, 8, 9)] == ["", "", ""]
    seen.renew(10)
    assert (seen.evidence, seen.held.since) == (0.0, 10)
    assert [seen.judge(n, "", "") for n in (10, 11)] == ["", "closed"]


@pytest.mark.parametrize("right", [90, 87])
def test_no_loss_beyond_the_margin_adds_no_evidence(right: int) -> None:
    seen = watch()
    for place in range(500):
        seen.measure(place, right, 100, (0.9, 0.86))
    assert seen.judge(500, "", "") == ""


def test_what_was_harmless_as_it_opened_is_a_note_and_what_became_costly_is_not_false() -> None:
    harmless, costly = Triage("harmless", "within"), Triage("costly", "beyond")
    seen = watch()
    seen.judge(0, "x", "")
    seen.judge(1, "x", "")
    seen.look(1, harmless)
    assert seen.episodes[0].noted
    seen.look(2, costly)
    seen.look(3, harmless)
    [one] = seen.episodes
    assert (one.false, one.noted, one.costly) == (False, False, 2)
