from __future__ import annotations

import pytest

from mlops.core.accuracy_loss import Promise
from mlops.core.alarm import ColumnVerdict, Rule, Verdict
from mlops.core.complete_rule import CompleteRule
from mlops.core.continuous import Detector
from mlops.core.past_loss import Measured
from mlops.core.past_watch import Watch
from mlops.core.triage import Triage

RULE = Rule(2, 3, 2)
PROMISE = Promise(0.9, 100_000, 0.03, min_labels=50)


def watch(gathering: Detector | None = None) -> Watch:
    return Watch(CompleteRule(RULE, gathering), Measured(PROMISE, rate=0.001))


def seen_as(drifted: str = "", broken: str = "", p: float = 1.0) -> Verdict:
    """Return a window's verdict on the columns x and y."""
    columns = tuple(
        ColumnVerdict(name, "wasserstein", 0.9 if name == drifted else 0.1 * n, 0.5,
                      name == drifted, 0.0)
        for n, name in enumerate(("x", "y"), 1)
    )  # fmt: skip
    return Verdict(100, columns, (broken,) if broken else (), calibrated=True, p=p)


def judged(seen: Watch, *verdicts: Verdict, start: int = 0) -> list[str]:
    """Judge windows in order; return what each opened or closed."""
    return ["; ".join(seen.judge(n, verdict)) for n, verdict in enumerate(verdicts, start)]


def measured(seen: Watch, right: int, *places: int) -> list[str]:
    """Let the labels of quiet windows come, a hundred each; return what each opened or closed."""
    said = []
    for place in places:
        happened = seen.judge(place, seen_as())
        seen.measure(place, right, 100)
        said.append("; ".join([*happened, *seen.hear(place)]))
    return said


QUIET, DRIFT, BROKEN = seen_as(), seen_as("x"), seen_as(broken="blank: all of it")


def test_drift_opens_by_k_of_n_and_closes_after_quiet_windows() -> None:
    seen = watch()
    said = judged(seen, *(seen_as(column) for column in ("x", "", "y", "", "")))
    assert said == ["", "", "incident 1 opened", "", "incident 1 closed"]
    [one] = seen.episodes
    assert (one.detector, one.cause, one.since, one.opened, one.closed) == ("drift", "y", 0, 2, 4)


def test_broken_data_opens_at_once_and_is_no_evidence_of_drift() -> None:
    seen = watch()
    said = judged(seen, BROKEN, BROKEN, QUIET, QUIET)
    assert said == ["incident 1 opened", "", "", "incident 1 closed"]
    assert seen.episodes[0].detector == "quality"


@pytest.mark.parametrize(
    ("verdicts", "found"),
    [
        # A break hides no drift: both open, and sound windows end the break.
        ([BROKEN, *[DRIFT] * 20], [("quality", 0, 2), ("drift", 2, None)]),
        # Drift hides no break: broken windows neither end drift nor add to it.
        ([DRIFT, DRIFT, *[BROKEN] * 20], [("drift", 1, None), ("quality", 2, None)]),
        ([DRIFT, BROKEN, DRIFT], [("quality", 1, None), ("drift", 2, None)]),
        ([DRIFT, DRIFT, QUIET, BROKEN, QUIET], [("drift", 1, 4), ("quality", 3, None)]),
        ([DRIFT, DRIFT, BROKEN, QUIET, QUIET], [("drift", 1, 4), ("quality", 2, 4)]),
    ],
)
def test_an_incident_of_each_kind_is_held_apart(
    verdicts: list[Verdict], found: list[tuple[str, int, int | None]]
) -> None:
    seen = watch()
    judged(seen, *verdicts)
    assert [(e.detector, e.opened, e.closed) for e in seen.episodes] == found
    assert [e.number for e in seen.episodes] == list(range(1, len(found) + 1))


def test_a_measured_loss_opens_though_no_input_moved_and_labels_end_it() -> None:
    seen = watch()
    assert measured(seen, 90, *range(4)) == [""] * 4
    assert "incident 1 opened" in measured(seen, 55, *range(4, 7))
    assert seen.drift is not None
    assert (seen.drift.detector, seen.drift.since) == ("accuracy", 4)
    # Quiet inputs do not close it, however many: what labels showed, labels end.
    assert judged(seen, *[QUIET] * 20, start=7) == [""] * 20
    assert "incident 1 closed" in measured(seen, 90, *range(27, 60))


def test_labels_of_the_version_that_came_after_end_what_labels_opened() -> None:
    seen = watch()
    measured(seen, 55, *range(4))
    seen.renew(PROMISE)
    assert (seen.labels.evidence, seen.inherited) == (0.0, True)
    assert measured(seen, 89, 4) == ["incident 1 closed"]
    worse = watch()
    measured(worse, 55, *range(4))
    worse.renew(PROMISE)
    assert measured(worse, 60, *range(4, 9)) == [""] * 5
    assert worse.drift is not None
    assert (worse.inherited, worse.drift.since) == (False, 4)


def test_drift_of_a_replaced_version_is_the_new_ones_once_it_alarms_too() -> None:
    seen = watch()
    judged(seen, DRIFT, DRIFT)
    seen.renew(PROMISE)
    assert judged(seen, QUIET, start=2) == [""]
    assert seen.inherited
    judged(seen, DRIFT, start=3)
    assert seen.drift is not None
    assert (seen.inherited, seen.drift.since) == (False, 3)
    over = watch()
    judged(over, DRIFT, DRIFT)
    over.renew(PROMISE)
    assert judged(over, QUIET, QUIET, start=2) == ["", "incident 1 closed"]


def test_a_loss_that_stands_keeps_drift_open_while_inputs_are_quiet() -> None:
    seen = watch()
    judged(seen, DRIFT, DRIFT)
    assert measured(seen, 55, *range(2, 12)) == [""] * 10
    assert seen.drift is not None
    assert (seen.drift.detector, seen.lossy) == ("drift", True)
    assert measured(seen, 90, *range(12, 60))[-1] == ""
    assert [one.closed is not None for one in seen.episodes] == [True]


def test_labels_of_broken_data_measure_nothing() -> None:
    seen = watch()
    for place in range(10):
        seen.judge(place, BROKEN)
        seen.measure(place, 10, 100)
        seen.hear(place)
    assert seen.labels.told == []


@pytest.mark.parametrize("right", [90, 87])
def test_no_loss_beyond_the_margin_adds_no_evidence(right: int) -> None:
    assert measured(watch(), right, *range(500)) == [""] * 500


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


def test_what_was_broken_says_nothing_of_what_drift_costs() -> None:
    seen = watch()
    judged(seen, DRIFT, DRIFT)
    seen.look(1, Triage("harmless", "within"))
    seen.look(2, Triage("quality", "broken"))
    assert seen.episodes[0].noted


def test_shifts_that_no_window_shows_add_up_and_must_fade_before_it_closes() -> None:
    seen = watch(Detector(100.0))
    said = judged(seen, *[QUIET] * 3, *[seen_as(p=0.01)] * 3)
    assert said == [*[""] * 5, "incident 1 opened"]
    [one] = seen.episodes
    assert (one.detector, one.cause, one.since) == ("drift", "y", 3)
    quiet = judged(seen, *[QUIET] * 4, start=6)
    # 100 fades to 10 in four; of windows two would do
    assert quiet == ["", "", "", "incident 1 closed"]
    assert seen.adding_up == 0.0


def test_without_it_nothing_adds_up() -> None:
    assert set(judged(watch(), *[seen_as(p=0.002)] * 50)) == {""}


def test_a_new_version_begins_with_no_evidence() -> None:
    seen = watch(Detector(100.0))
    odd = seen_as(p=0.01)
    assert judged(seen, odd, odd) == ["", ""]
    seen.renew(PROMISE)
    assert judged(seen, odd, odd, odd, start=2) == ["", "", "incident 1 opened"]
