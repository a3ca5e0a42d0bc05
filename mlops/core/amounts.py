"""How figures are written in a decision's sentences."""

from __future__ import annotations

import math


def points(share: float) -> str:
    """Write a difference of shares in percentage points, with its sign."""
    if not math.isfinite(share):
        return "unbounded"
    return f"{100 * share:+.1f} pp".replace("-", "−")


def percent(share: float) -> str:
    """Write a relative difference in per cent, with its sign."""
    if not math.isfinite(share):
        return "unbounded"
    return f"{100 * share:+.1f} %".replace("-", "−")


def figure(value: float, unit: str = "") -> str:
    """Write a difference with its sign, and its unit if it has one."""
    if unit == "pp":
        return points(value)
    if unit == "%":
        return percent(value)
    if not math.isfinite(value):
        return "unbounded"
    return f"{value:+.3f} {unit}".strip().replace("-", "−")
