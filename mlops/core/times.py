"""How a time is written, and what it is watched by: a time itself always moves on."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

TIME_PARTS: Mapping[str, tuple[str, ...]] = {
    "hour": tuple(f"{hour:02d}" for hour in range(24)),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December",
    ),
}  # fmt: skip
"""What a column of times is watched by, in UTC: names, for midnight is next to 23 o'clock."""


WRITTEN = "ISO 8601, UTC unless it says so, or seconds since 1970"
"""How times may be written, for people; a source's files and callers have the same."""
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII
)
_MICROSECOND, _EPOCH = timedelta(microseconds=1), datetime(1970, 1, 1, tzinfo=UTC)


def seconds(text: str) -> float | None:
    """Return a time in ISO 8601 as seconds since 1970; None if it is none.

    Date, or date and time to the hour, minute, second or a part of it; UTC unless it names its
    distance from it. The digits are those that the source `table` gives the same text.
    """
    if not _ISO.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:  # a month of 31 days that has 30
        return None
    return (found.replace(tzinfo=found.tzinfo or UTC) - _EPOCH) // _MICROSECOND / 1e6


def time_parts(second_N: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return hour, weekday (Monday is 0) and month (January is 0) of times, in UTC.

    Args:
        second_N: float64, seconds since 1970, finite.
    """
    # Years beyond what a calendar holds stay at its ends: a damaged time must not stop a monitor.
    day = np.clip(np.floor(second_N / 86_400), -700_000, 2_900_000).astype(np.int64)
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    hour = np.floor(second_N % 86_400 / 3600)
    return hour, ((day + 3) % 7).astype(np.float64), (month % 12).astype(np.float64)
