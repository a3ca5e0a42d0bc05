"""How rows come in, against how they came before: too slowly, too many, too late, or not at all.

What is usual is what a history shows that is twenty times as long as what is judged, and of waiting
five days at least: a night or a weekend without rows is a habit, known as one after three. What
happened once or twice in it is none: an outage does not make the next one usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPANS = 5000
"""Windows before, at most, that show what is usual."""

_HISTORY, _TOGETHER = 5, 20.0
_RARE = 3  # times that something may have been as bad before: an outage is no habit
_LONGER, _SLOW_S = 2.0, 3600.0
_MORE, _MANY, _HOUR_S = 10.0, 10, 3600.0
_DAY_S = 86_400.0
_NIGHTS_S = 5 * _DAY_S  # three nights must have been seen, wherever a history begins


@dataclass(frozen=True)
class Span:
    """When a window's first row was predicted, and its last, seconds since 1970.

    Attributes:
        start_s: the first.
        end_s: the last.
        version: that predicted them.
    """

    start_s: float
    end_s: float
    version: str = ""

    @property
    def duration_s(self) -> float:
        """From the first to the last."""
        return self.end_s - self.start_s


def volume(rows: int, now: Span, earlier: Sequence[Span]) -> tuple[str, ...]:
    """Return what is unusual in how a window's rows came in, each as `name: words`.

    Args:
        rows: of the window.
        now: the window.
        earlier: windows before it, in the order in which they ended.
    """
    # Of other versions later windows may be judged already: where monitoring catches up.
    before = [s for s in earlier if s.end_s <= now.end_s or s.version == now.version]
    slow = _waited(f"{rows} rows took", now.duration_s, before)
    found = (slow, _surge(now, before), _late(now, before))
    return tuple(words for words in found if words)


def silence(silent_s: float, earlier: Sequence[Span]) -> str:
    """Say if no row came for far longer than ever, in a window or between two; else nothing.

    Args:
        silent_s: since the newest row.
        earlier: windows before, in the order in which they ended.
    """
    return _waited("no prediction for", silent_s, earlier)


def _waited(what: str, wait_s: float, earlier: Sequence[Span]) -> str:
    usual = _usual(wait_s, _waits(earlier), earlier, _NIGHTS_S)
    if usual is None:
        return ""
    return (
        f"volume: {what} {wait_s / 60:.0f} minutes; {_before(earlier)} hardly a window, or the "
        f"time between two, took more than {usual / 60:.1f}"
    )


def _late(now: Span, earlier: Sequence[Span]) -> str:
    """Say if rows were logged far later than younger ones of their version, as never before."""
    own = [span for span in earlier if span.version == now.version]
    if not own:
        return ""
    ends = np.maximum.accumulate([span.end_s for span in own])
    starts = np.array([*(span.start_s for span in own[1:]), now.start_s])
    late_s: NDArray[np.float64] = np.maximum(ends - starts, 0.0)
    usual = _usual(float(late_s[-1]), late_s[:-1].tolist(), own)
    if usual is None:
        return ""
    return (
        f"lateness: rows came up to {late_s[-1] / 60:.0f} minutes after younger ones; "
        f"{_before(own)} hardly by more than {usual / 60:.1f}"
    )


def _surge(now: Span, earlier: Sequence[Span]) -> str:
    """Say if an hour brought ten times as many windows as ever in a history that would show it."""
    ago = (now.end_s - np.array([span.end_s for span in earlier])) // _HOUR_S
    # What came in this very hour is judged with the window, and not what it is held against.
    hours, counts = np.unique(ago[ago > 0], return_counts=True)
    if len(counts) < _HISTORY or hours[-1] < _TOGETHER:
        return ""
    came = int((ago <= 0).sum()) + 1
    usual = int(np.sort(counts)[-_RARE])
    if came < max(_MORE * usual, _MANY):
        return ""
    days = hours[-1] * _HOUR_S / _DAY_S
    return f"volume: {came} windows in an hour; in the {days:.1f} days before hardly over {usual}"


def _usual(
    value_s: float, before_s: Sequence[float], earlier: Sequence[Span], least_s: float = 0.0
) -> float | None:
    """Return the most that is usual if a time is far beyond it; None if it is not, or unknown."""
    ordered = sorted(before_s)
    if len(ordered) < _HISTORY or _together(earlier) < max(_TOGETHER * value_s, least_s):
        return None
    usual = ordered[-min(_RARE, len(ordered) // 2)]
    return usual if value_s > max(_LONGER * usual, _SLOW_S) else None


def _waits(earlier: Sequence[Span]) -> list[float]:
    """Return how long windows took, and how long nothing came between two, in seconds.

    A night is in one of the two, as the rows fall.
    """
    ordered = sorted(earlier, key=lambda span: span.start_s)
    gaps, until_s = [], ordered[0].end_s if ordered else 0.0
    for span in ordered[1:]:
        gaps.append(max(span.start_s - until_s, 0.0))
        until_s = max(until_s, span.end_s)
    return [*(span.duration_s for span in ordered), *gaps]


def _together(earlier: Sequence[Span]) -> float:
    """Return how long a history is, in seconds."""
    if not earlier:
        return 0.0
    return max(span.end_s for span in earlier) - min(span.start_s for span in earlier)


def _before(earlier: Sequence[Span]) -> str:
    return f"in the {_together(earlier) / _DAY_S:.1f} days before"
