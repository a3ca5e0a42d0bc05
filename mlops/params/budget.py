"""A budget of false alarms in words: `1 per year`, `2 per 500 windows`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"(\d+(?:\.\d+)?) per (?:(\d+) windows|(year|month|week|day))")
_MINUTES = {"year": 525_600.0, "month": 43_800.0, "week": 10_080.0, "day": 1440.0}


@dataclass(frozen=True)
class Budget:
    """False incidents allowed in a period.

    Attributes:
        count: how many.
        windows: the period in windows; None where it is a time.
        minutes: the period in minutes; None where it is counted in windows.
    """

    count: float
    windows: int | None
    minutes: float | None

    def per_windows(self, window_minutes: float) -> int:
        """Return the period in windows, if one takes so many minutes; at least 1."""
        if self.windows is not None:
            return self.windows
        return max(round((self.minutes or 0.0) / window_minutes), 1)


def parse_budget(text: str) -> Budget:
    """Read a budget.

    Raises:
        ValueError: with what to write instead.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or not float(found[1]) or found[2] == "0":
        msg = f"{text!r} is no budget; write '1 per year' or '1 per 1000 windows'"
        raise ValueError(msg)
    windows = int(found[2]) if found[2] else None
    return Budget(float(found[1]), windows, _MINUTES[found[3]] if found[3] else None)
