"""Evidence that adds up over windows: small shifts that no single window shows.

An e-detector (Shin, Ramdas and Rinaldo, E-detectors: a nonparametric framework for sequential
change detection, New England Journal of Statistics in Data Science 2, 2024): each window's p-value
becomes an e-value, e = ½ p^(−½) (Vovk and Wang, E-values: calibration, combination and
applications, Annals of Statistics 49, 2021), and R ← (R + 1) e alarms when it reaches m. If clean
windows have e-values of mean 1 at most, given what came before, it takes on average m clean
windows, at least, until a false alarm.

A reference shared by all windows breaks that promise a little, for its luck stays the same: so
p-values are those of an unlucky reference (see `Thresholds.p_value`), m is twice what the budget
says, and the rate is simulated (benchmarks/drift.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SAFETY = 2.0


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


def evidence(p_values: Iterable[float]) -> Iterator[float]:
    """Yield R after each window, from the start or the last promotion: begin anew after one."""
    held = 0.0
    for p in p_values:
        held = (held + 1.0) * e_value(p)
        yield held


def alarms(p_values: Iterable[float], rate: float) -> list[int]:
    """Return the windows, counted from 0, at which the evidence reaches m; it then begins anew."""
    held, found, least = 0.0, [], limit(rate)
    for number, p in enumerate(p_values):
        held = (held + 1.0) * e_value(p)
        if held >= least:
            found.append(number)
            held = 0.0
    return found
