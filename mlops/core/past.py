"""History to walk through: rows in the order of time, cut into windows as they would have come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import Schema

Period = Literal["rows", "day", "week", "month"]
_CALENDAR: dict[str, str] = {"day": "D", "month": "M"}
_WEEK_D, _MONDAY = 7, 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Past:
    """Rows in ascending order of time, one entry each.

    Attributes:
        schema: of the examples.
        features: (N, *shape) of the schema.
        label: int64 (N,), -1 where there is none; of a regression float64, NaN where none is.
        key: uint64 (N,): hash of the split key.
        side: text (N,): train, validation or test.
        observed_s: float64 (N,), seconds since 1970, finite, ascending.
        measures: bool (N,): labelled, and by nobody's choice: such labels measure and judge.
        sampled: bool (N,): whether the row is of the random sample that is to be labelled.
        active: bool (N,): labelled because a model was unsure.
    """

    schema: Schema
    features: NDArray[Any]
    label: NDArray[Any]
    key: NDArray[np.uint64]
    side: NDArray[np.str_]
    observed_s: NDArray[np.float64]
    measures: NDArray[np.bool_]
    sampled: NDArray[np.bool_]
    active: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.label)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Past:
        """Return the rows that a mask or an index array selects."""
        given: dict[str, Any] = vars(self)
        return replace(self, **{n: v if n == "schema" else v[index] for n, v in given.items()})

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which rows have a label; bool, (N,)."""
        return np.asarray(
            ~np.isnan(self.label) if self.label.dtype.kind == "f" else self.label >= 0
        )


@dataclass(frozen=True)
class Cutting:
    """How windows are cut.

    Attributes:
        period: `rows`, as `monitor` cuts them: complete with `window_rows`, or after
            `window_minutes` with `min_rows`; or a calendar day, week (from Monday) or month, UTC.
        window_rows: rows of a complete window.
        window_minutes: a window is also closed after so many minutes.
        min_rows: fewest rows of a window; one that has fewer goes on into the next.
    """

    period: Period
    window_rows: int
    window_minutes: float
    min_rows: int


def cut(observed_s: NDArray[np.float64], how: Cutting) -> tuple[slice, ...]:
    """Return the windows of rows in the order of time; rows at the end may be left over.

    Args:
        observed_s: float64 (N,), ascending.
        how: by rows or by the calendar.
    """
    if how.period != "rows":
        return _by_calendar(observed_s, how)
    found, start = [], 0
    while start < len(observed_s):
        late = observed_s[start] + 60.0 * how.window_minutes
        old = int(np.searchsorted(observed_s, late, "left"))
        stop = min(start + how.window_rows, max(old, start + how.min_rows))
        if stop > len(observed_s) or stop - start < how.min_rows:
            break
        # At the end of history nothing has made a window that is not full complete.
        if stop == len(observed_s) and stop - start < how.window_rows:
            break
        found.append(slice(start, stop))
        start = stop
    return tuple(found)


def _by_calendar(observed_s: NDArray[np.float64], how: Cutting) -> tuple[slice, ...]:
    days = np.floor(observed_s / 86_400.0).astype(np.int64)
    if how.period == "week":
        number = (days + _MONDAY) // _WEEK_D
    else:
        number = days.astype("datetime64[D]").astype(f"datetime64[{_CALENDAR[how.period]}]")
    edges = [*(np.flatnonzero(number[1:] != number[:-1]) + 1), len(days)]
    found, start = [], 0
    for stop in edges:
        if stop - start >= how.min_rows:
            found.append(slice(start, int(stop)))
            start = int(stop)
    return tuple(found)


def mature(past: Past, window: slice, until_s: float) -> NDArray[np.int64]:
    """Return the rows of a window whose labels measure and were here by a time; ascending.

    Args:
        past: the rows.
        window: which of them.
        until_s: rows observed later have no label yet.
    """
    chosen = past.measures[window] & (past.observed_s[window] <= until_s)
    rows: NDArray[np.int64] = np.flatnonzero(chosen) + window.start
    return rows
