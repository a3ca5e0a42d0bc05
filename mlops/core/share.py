"""A share of the traffic, as people write it."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%\Z")


def read_share(text: str) -> float | None:
    """Return a share of 0 to 1 from `5%` or `0.5 %`, or None if the text is no share."""
    match = _WRITTEN.match(text.strip())
    if match is None:
        return None
    share = float(match[1]) / 100.0
    return share if share <= 1.0 else None


def write_share(share: float) -> str:
    """Return a share as people write it: `5%`."""
    return f"{round(share * 100.0, 4):g}%"
