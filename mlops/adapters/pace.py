"""How fast windows come: what a budget per year is divided by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlops.adapters.windows import spans

if TYPE_CHECKING:
    import sqlalchemy as sa

_LEAST, _MOST = 10, 50


def minutes(connection: sa.Connection, project: str) -> float | None:
    """Return about how many minutes a window takes; None with fewer than ten windows.

    Of the newest fifty, and rounded down to a power of two: what hangs on it changes only when
    the traffic has doubled or halved, and errs to more windows a year.
    """
    recent = spans(connection, project, _MOST)
    if len(recent) < _LEAST:
        return None
    span_s = recent[-1].end_s - recent[0].end_s
    whole = max(span_s / 60 / (len(recent) - 1), 1 / 60)
    return float(2.0 ** math.floor(math.log2(whole)))
