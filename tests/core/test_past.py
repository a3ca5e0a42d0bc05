from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.core.past import Cutting, cut

if TYPE_CHECKING:
    from mlops.core.past import Period

START = datetime(2026, 1, 30, tzinfo=UTC)  # a Friday


def hourly(rows: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([(START + timedelta(hours=n)).timestamp() for n in range(rows)])


@pytest.mark.parametrize(
    ("how", "sizes"),
    [
        (Cutting("rows", 40, 1e9, 30), [40, 40, 40]),  # the last 10 of 130 are no window yet
        (Cutting("rows", 1000, 48 * 60.0, 30), [48, 48]),  # closed by its age
        (Cutting("rows", 1000, 60.0, 30), [30, 30, 30, 30]),  # old, but never below min_rows
        (Cutting("month", 1000, 1.0, 30), [48, 82]),
        (Cutting("week", 1000, 1.0, 30), [72, 58]),
        (Cutting("day", 1000, 1.0, 30), [48, 48, 34]),  # a day of 24 rows goes on into the next
    ],
)
def test_windows_are_cut_as_they_would_have_come(how: Cutting, sizes: list[int]) -> None:
    found = cut(hourly(130), how)
    assert [w.stop - w.start for w in found] == sizes
    assert found[0].start == 0
    assert all(a.stop == b.start for a, b in pairwise(found))


@pytest.mark.parametrize("period", ["rows", "month"])
def test_no_rows_no_window(period: Period) -> None:
    assert cut(hourly(0), Cutting(period, 40, 1e9, 30)) == ()
