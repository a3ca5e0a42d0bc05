"""Evidence that adds up over windows: small shifts that no single window shows.

An e-detector (Shin, Ramdas and Rinaldo, E-detectors: a nonparametric framework for sequential
change detection, New England Journal of Statistics in Data Science 2, 2024): each window's p-value
becomes an e-value, e = ½ p^(−½) (Vovk and Wang, E-values: calibration, combination and
applications, Annals of Statistics 49, 2021), and R ← (R + 1) e alarms when it reaches m. If clean
windows have e-values of mean 1 at most, given what came before, it takes on average m clean
windows, at least, until a false alarm.

A reference shared by all windows breaks that promise a little, for its luck stays the same: so
p-values are those of an unlucky reference (see `Thresholds.p_value`), m is twice what its share of
the budget says, and the rate of the complete rule is simulated (benchmarks/drift.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.thresholds import TAIL_P

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlops.core.alarm import ColumnVerdict, Rule, Verdict

SHARE = 0.5
"""Of the budget of false incidents; the other half is that of the rule over single windows."""

_SAFETY = 2.0
_LEAST_P = TAIL_P[-1]  # below it a p-value is extrapolated; one odd window is no evidence of many


@dataclass(frozen=True)
class Detector:
    """When evidence opens an incident, and when it lets one close.

    Attributes:
        limit: m; evidence is not held above it, so that it fades within a known time.
    """

    limit: float

    def after(self, held: float, p: float) -> float:
        """Return the evidence after a window of that p-value, (held + 1) e; at most `limit`."""
        return min((held + 1.0) * e_value(max(p, _LEAST_P)), self.limit)

    def raises(self, held: float) -> bool:
        """Say whether the evidence opens an incident."""
        return held >= self.limit

    def clears(self, held: float) -> bool:
        """Say whether it has faded: half the way back, in orders of magnitude.

        A quiet window halves it, so an incident closes about ½ log₂ m windows after a shift ends.
        """
        return held <= math.sqrt(self.limit)


def gathering(rate: float) -> Detector:
    """Return the detector that goes with a rule over single windows of so many false alarms.

    Args:
        rate: of the rule over single windows, per window, which has the rest of the budget.
    """
    return Detector(limit(rate * SHARE / (1 - SHARE)))


def limit(rate: float) -> float:
    """Return m for a budget of so many false alarms per window.

    Raises:
        ValueError: if the rate is not above 0.
    """
    if rate <= 0:
        raise ValueError(f"rate = {rate}: a budget is above 0")
    return _SAFETY / rate


def e_value(p: float) -> float:
    """Return ½ p^(−½), whose mean is 1 if p is uniform.

    Raises:
        ValueError: if p is no probability above 0.
    """
    if not 0 < p <= 1:
        raise ValueError(f"p = {p}: a p-value lies in (0, 1]")
    return 0.5 / math.sqrt(p)


def alarms(detector: Detector, p_values: Iterable[float]) -> list[int]:
    """Return the windows, counted from 0, at which the evidence reaches m; it then begins anew."""
    held, found = 0.0, []
    for number, p in enumerate(p_values):
        held = detector.after(held, p)
        if detector.raises(held):
            found.append(number)
            held = 0.0
    return found


def incidents(rule: Rule, detector: Detector, over: Sequence[bool], p: Sequence[float]) -> int:
    """Count the incidents that the complete rule opens in one stream of windows.

    Args:
        rule: over single windows.
        detector: of evidence that adds up, and must fade before an incident closes.
        over: whether each window alarms.
        p: p-value of each.
    """
    count, held, opened = 0, 0.0, False
    since: list[bool] = []
    for alarm, value in zip(over, p, strict=True):
        since.append(alarm)
        held = detector.after(held, value)
        if not opened:
            if rule.raises(since) or detector.raises(held):
                opened, since, count = True, [], count + 1
        elif rule.clears(since) and detector.clears(held):
            opened, since, held = False, [], 0.0
    return count


def averaged(run: Sequence[Verdict]) -> tuple[ColumnVerdict, ...]:
    """Return the columns of windows with their mean value and shift, the strongest first.

    Args:
        run: at least one window, all of one version; those count that are judged by the same
            columns as the newest, for a column may be redacted from some window on.
    """
    names = [c.column for c in run[-1].columns]
    run = [verdict for verdict in run if [c.column for c in verdict.columns] == names]
    table = [[(c.value, c.shift) for c in verdict.columns] for verdict in run]
    means = np.array(table).mean(axis=0).tolist()
    found = [
        replace(column, value=value, shift=shift)
        for column, (value, shift) in zip(run[-1].columns, means, strict=True)
    ]
    return tuple(sorted(found, key=lambda c: -c.value / max(c.threshold, 1e-9)))
