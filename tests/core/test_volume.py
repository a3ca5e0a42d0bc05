from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.core.volume import Span, silence, volume

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR_S, DAY_S = 3600.0, 86_400.0
NIGHTS = [*[600.0] * 60, 14 * HOUR_S] * 15
"""Ten hours a day, a window every ten minutes: the one over night has a gap of fourteen hours."""


def after(durations_s: Sequence[float], version: str = "1") -> list[Span]:
    """Return windows that follow each other."""
    ends = list(accumulate(durations_s))
    return [Span(end - d, end, version) for d, end in zip(durations_s, ends, strict=True)]


def judged(duration_s: float, earlier: list[Span], *, late_s: float = 0.0) -> list[str]:
    """Return the names of what is unusual in a window that follows, or began so much before."""
    start = (earlier[-1].end_s if earlier else 0.0) - late_s
    found = volume(100, Span(start, start + late_s + duration_s, "1"), earlier)
    return [words.partition(":")[0] for words in found]


@pytest.mark.parametrize(
    ("duration_s", "durations_s", "names"),
    [
        (60.0, [60.0] * 9, []),
        (DAY_S / 2, [60.0] * 20_000, ["volume"]),
        (DAY_S / 2, [60.0] * 4, []),  # nothing is known yet
        (14 * HOUR_S, [600.0] * 60, []),  # the first night: is it a habit?
        (15 * HOUR_S, NIGHTS, []),
        (64 * HOUR_S, NIGHTS, []),  # the first weekend
        (40 * HOUR_S, NIGHTS * 4, ["volume"]),
        (40 * HOUR_S, [*NIGHTS * 4, 40 * HOUR_S], ["volume"]),  # an outage is no habit
    ],
)
def test_a_gap_is_told_from_a_habit(
    duration_s: float, durations_s: list[float], names: list[str]
) -> None:
    earlier = after(durations_s)
    assert judged(duration_s, earlier) == names
    assert bool(silence(duration_s, earlier)) == bool(names)


def test_a_stop_is_said_in_minutes() -> None:
    earlier = after([600.0] * 1000)
    assert silence(0.0, earlier) == silence(HOUR_S, earlier) == silence(2 * HOUR_S, []) == ""
    assert silence(2 * HOUR_S, earlier) == (
        "volume: no prediction for 120 minutes; in the 6.9 days before hardly a window, or the "
        "time between two, took more than 10.0"
    )


@pytest.mark.parametrize("hours", [1, 8, 10])
def test_a_night_between_windows_is_a_habit_too(hours: int) -> None:
    """A batch a day, or office hours whose last window is cut by time: no window holds the gap."""
    every_s = 600.0
    earlier = [
        Span(day * DAY_S + n * every_s, day * DAY_S + (n + 1) * every_s - 1.0, "1")
        for day in range(40) for n in range(hours * 6)
    ]  # fmt: skip
    last_s = earlier[-1].end_s
    for silent_s in np.arange(0.0, DAY_S - hours * HOUR_S, 900.0):
        assert silence(float(silent_s), earlier) == ""
    following = Span(last_s + DAY_S - hours * HOUR_S, last_s + DAY_S - hours * HOUR_S + 599.0, "1")
    assert volume(100, following, earlier) == ()
    across = Span(last_s, last_s + DAY_S - hours * HOUR_S + 60.0, "1")
    assert volume(100, across, earlier) == ()


def test_a_stop_is_told_from_the_nights_between_windows() -> None:
    earlier = [
        Span(day * DAY_S + n * 600.0, day * DAY_S + n * 600.0 + 599.0, "1")
        for day in range(60) for n in range(60)
    ]  # fmt: skip
    assert silence(20 * HOUR_S, earlier) == ""
    assert silence(40 * HOUR_S, earlier).startswith("volume: no prediction for 2400 minutes")


@pytest.mark.parametrize(
    ("every_s", "fast", "names"),
    [
        (1800.0, 17, []),  # two an hour: ten times as many are twenty, two of them as ever
        (1800.0, 18, ["volume"]),
        (6 * HOUR_S, 8, []),  # ten at least: a batch is no surge
        (6 * HOUR_S, 9, ["volume"]),
    ],
)
def test_ten_times_as_many_windows_in_an_hour_are_a_surge(
    every_s: float, fast: int, names: list[str]
) -> None:
    usual = after([every_s] * 200)
    burst = after([every_s] * 200 + [10.0] * fast)
    assert judged(every_s, usual) == []
    assert judged(10.0, burst[:-1]) == names
    short = after([every_s] * int(10 * HOUR_S // every_s) + [10.0] * 40)
    assert judged(10.0, short) == []  # hours alone show no habit


def test_what_surged_three_times_before_is_a_habit() -> None:
    week = [HOUR_S] * 160 + [10.0] * 30
    assert judged(10.0, after([*week, *[HOUR_S] * 160, *[10.0] * 20])) == ["volume"]
    assert judged(10.0, after([*week * 3, *[HOUR_S] * 160, *[10.0] * 20])) == []


def test_rows_that_come_after_much_younger_ones_are_late() -> None:
    rng = np.random.default_rng(0)
    jitter = rng.uniform(0.0, 20.0, 400)
    earlier = [Span(s.start_s - j, s.end_s, "1") for s, j in
               zip(after([600.0] * 400), jitter, strict=True)]  # fmt: skip
    assert judged(600.0, earlier, late_s=30.0) == []
    assert judged(600.0, earlier, late_s=50 * 60.0) == []  # less than an hour
    assert judged(600.0, earlier, late_s=3 * HOUR_S) == ["lateness"]
    # Champion's windows of later hours, judged before a challenger's where monitoring catches up.
    later = [*earlier, *(Span(s.start_s + 1e6, s.end_s + 1e6, "1") for s in earlier[:40])]
    challenger = Span(earlier[-1].end_s - 500.0, earlier[-1].end_s + 10.0, "2")
    assert volume(100, challenger, later) == ()
    # A challenger's windows take longer, and lie beside the champion's: they are not late.
    other = [Span(s.start_s, s.end_s, "2") for s in earlier]
    assert judged(600.0, other, late_s=3 * HOUR_S) == []
