"""When numbers are an alarm, and alarms an incident: the K-of-N rule with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.drift import methods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.thresholds import Thresholds


_STEPS, _MILD = 2, 3  # of severity: so many more, or one beyond, is told again


@dataclass(frozen=True)
class Rule:
    """The rule over windows.

    Attributes:
        raise_k: an incident opens when so many of the last `raise_n` windows alarm.
        raise_n: how many windows are looked back on, none from before the last change.
        clear_after: an incident closes after so many windows in a row without an alarm.
    """

    raise_k: int
    raise_n: int
    clear_after: int

    def raises(self, recent: Sequence[bool]) -> bool:
        """Say whether alarms, oldest first and since the last change, open an incident."""
        return sum(recent[-self.raise_n :]) >= self.raise_k

    def clears(self, recent: Sequence[bool]) -> bool:
        """Say whether alarms, oldest first and since the incident opened, close it."""
        return len(recent) >= self.clear_after and not any(recent[-self.clear_after :])


@dataclass(frozen=True)
class ColumnVerdict:
    """One column of a window against its threshold.

    Attributes:
        column: its name.
        method: `wasserstein` or `jensenshannon`.
        value: the statistic.
        threshold: the calibrated threshold; the value drifts when it reaches it.
        drifted: value ≥ threshold, Evidently's own comparison.
        shift: mean of the window minus mean of the reference, in the column's units; for the
            predicted class, and of a column of names, the largest change of a share.
    """

    column: str
    method: str
    value: float
    threshold: float
    drifted: bool
    shift: float


@dataclass(frozen=True)
class Verdict:
    """What one window says.

    Attributes:
        rows: rows of the window.
        columns: every monitored column, in the order of the report.
        breaks: quality checks that failed, in words; with any, drift is not judged.
        calibrated: whether the thresholds were.
        p: probability that a clean window's largest distance is as large; 1 if not calibrated.
    """

    rows: int
    columns: tuple[ColumnVerdict, ...]
    breaks: tuple[str, ...]
    calibrated: bool
    p: float = 1.0

    @property
    def drifted(self) -> tuple[ColumnVerdict, ...]:
        """The columns over their thresholds, the strongest first."""
        over = [c for c in self.columns if c.drifted]
        return tuple(sorted(over, key=lambda c: -_ratio(c)))

    @property
    def alarm(self) -> bool:
        """Whether this window alarms, for drift or for quality."""
        return bool(self.breaks) or any(c.drifted for c in self.columns)

    @property
    def severity(self) -> int:
        """1 (at the threshold) to 5 (nine times over it, or broken data)."""
        if self.breaks:
            return 5
        worst = max((_ratio(c) for c in self.columns), default=0.0)
        return grade(worst)


def grade(ratio: float) -> int:
    """Return the severity, 1 to 5, of what is so many times its threshold."""
    return int(np.searchsorted([1.5, 2.5, 4.5, 9.0], ratio, "right")) + 1


def worse(told: int, now: int) -> bool:
    """Say whether a severity is news to whom an earlier one was told: 0 if none ever was."""
    return told > 0 and (now - told >= _STEPS or told <= _MILD < now)


def judge(
    thresholds: Thresholds,
    values: NDArray[np.float64],
    shifts: NDArray[np.float64],
    rows: int,
    named: Sequence[str] = (),
) -> Verdict:
    """Compare a window's statistics with the thresholds for its number of rows.

    Args:
        thresholds: of the model version that the window belongs to.
        values: the statistics, (D + 1,), in the thresholds' order.
        shifts: (D + 1,), in the columns' units.
        rows: rows of the window.
        named: columns whose values are codes of names.
    """
    limits = thresholds.at(rows)
    names = methods(thresholds.columns[:-1], named)
    table = zip(thresholds.columns, names, values, limits, shifts, strict=True)
    columns = tuple(
        ColumnVerdict(column, method, float(value), float(limit), bool(value >= limit), float(by))
        for column, method, value, limit, by in table
    )
    p = thresholds.p_value(values, rows) if thresholds.calibrated else 1.0
    return Verdict(rows, columns, (), thresholds.calibrated, p)


def incidents(rule: Rule, alarms_ST: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the incidents that the rule opens in each of S streams of T windows; int64, (S,)."""
    streams, length = alarms_ST.shape
    looked = np.zeros((streams, rule.raise_n), dtype=bool)
    opened = np.zeros(streams, dtype=bool)
    quiet = np.zeros(streams, dtype=np.int64)
    count = np.zeros(streams, dtype=np.int64)
    for t in range(length):
        alarm = alarms_ST[:, t]
        looked = np.concatenate([looked[:, 1:], alarm[:, np.newaxis]], axis=1)
        raised = ~opened & (looked.sum(axis=1) >= rule.raise_k)
        quiet = np.where(alarm, 0, quiet + 1)
        cleared = opened & (quiet >= rule.clear_after)
        count += raised
        quiet[raised] = 0
        opened = (opened | raised) & ~cleared
        looked[cleared] = False
    return count


def _ratio(column: ColumnVerdict) -> float:
    return column.value / max(column.threshold, 1e-9)
