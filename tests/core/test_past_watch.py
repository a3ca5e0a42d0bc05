from __future__ import annotations

import pytest

from mlops.core.alarm import ColumnVerdict, Rule, Verdict
from mlops.core.continuous import Detector
from mlops.core.past_watch import Watch
from mlops.core.triage import Triage

RULE = Rule(2, 3, 2)


def watch(gathering: Detector | None = None) -> Watch:
    return Watch(RULE, rate=0.001, margin=0.03, gathering=gathering)


def seen_as(drifted: str = "", broken: str = "", p: float = 1.0) -> Verdict:
    """Return a window's verdict on the columns x and y."""
    columns = tuple(
        ColumnVerdict(name, "wasserstein", 0.9 if name == drifted else 0.1 * n, 0.5,
                      name == drifted, 0.0)
        for n, name in enumerate(("x", "y"), 1)
    )  # fmt: skip
    return Verdict(100, columns, (broken,) if broken else (), calibrated=True, p=p)


def test_drift_opens_by_k_of_n_and_closes_after_quiet_windows() -> None:
    seen = watch()
    said = [
        seen.judge(place, seen_as(column)) for place, column in enumerate(["x", "", "y", "", ""])
    ]
    assert said == ["", "", "opened", "", "closed"]
    [one] = seen.episodes
    assert (one.detector, one.cause, one.since, one.opened, one.closed) == ("drift", "y", 0, 2, 4)


def test_broken_data_opens_at_once_and_is_no_evidence_of_drift() -> None:
    seen = watch()
    assert seen.judge(0, seen_as(broken="blank: all of it")) == "opened"
    assert seen.judge(1, seen_as(broken="blank: all of it")) == ""
    assert [seen.judge(n, seen_as()) for n in (2, 3)] == ["", "closed"]
    assert seen.episodes[0].detector == "quality"


def test_a_measured_loss_opens_though_no_input_moved() -> None:
    seen = watch()
    for place in range(4):
        seen.measure(place, 90, 100, (0.9, 0.86))
        assert seen.judge(place, seen_as()) == ""
    for place in range(4, 7):
        seen.measure(place, 55, 100, (0.9, 0.86))
    assert seen.judge(6, seen_as()) == "opened"
    assert seen.held is not None
    assert (seen.held.detector, seen.held.since) == ("accuracy", 4)
    # It stays open while windows lose more than the margin, and a new version begins anew.
    assert [seen.judge(n, seen_as()) for n in (7, 8, 9)] == ["", "", ""]
    seen.renew(10)
    assert (seen.evidence, seen.held.since) == (0.0, 10)
    assert [seen.judge(n, seen_as()) for n in (10, 11)] == ["", "closed"]


@pytest.mark.parametrize("right", [90, 87])
def test_no_loss_beyond_the_margin_adds_no_evidence(right: int) -> None:
    seen = watch()
    for place in range(500):
        seen.measure(place, right, 100, (0.9, 0.86))
    assert seen.judge(500, seen_as()) == ""


def test_what_was_harmless_as_it_opened_is_a_note_and_what_became_costly_is_not_false() -> None:
    harmless, costly = Triage("harmless", "within"), Triage("costly", "beyond")
    seen = watch()
    seen.judge(0, seen_as("x"))
    seen.judge(1, seen_as("x"))
    seen.look(1, harmless)
    assert seen.episodes[0].noted
    seen.look(2, costly)
    seen.look(3, harmless)
    [one] = seen.episodes
    assert (one.false, one.noted, one.costly) == (False, False, 2)


def test_shifts_that_no_window_shows_add_up_and_must_fade_before_it_closes() -> None:
    seen = watch(Detector(100.0))
    assert [seen.judge(n, seen_as()) for n in range(3)] == [""] * 3
    said = [seen.judge(n, seen_as(p=0.01)) for n in range(3, 6)]
    assert said == ["", "", "opened"]
    [one] = seen.episodes
    assert (one.detector, one.cause, one.since) == ("drift", "y", 3)
    quiet = [seen.judge(n, seen_as()) for n in range(6, 10)]
    assert quiet == ["", "", "", "closed"]  # 100 fades to 10 in four; of windows two would do
    assert seen.shifted == 0.0


def test_without_it_nothing_adds_up() -> None:
    seen = watch()
    assert {seen.judge(n, seen_as(p=0.002)) for n in range(50)} == {""}


def test_a_new_version_begins_with_no_evidence() -> None:
    seen = watch(Detector(100.0))
    assert [seen.judge(n, seen_as(p=0.01)) for n in range(2)] == ["", ""]
    seen.renew(2)
    assert [seen.judge(n, seen_as(p=0.01)) for n in (2, 3)] == ["", ""]
    assert seen.judge(4, seen_as(p=0.01)) == "opened"
