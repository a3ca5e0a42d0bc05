"""What a time is watched by: a time itself always moves on."""

from __future__ import annotations

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
