"""False incidents as they came, against those that were budgeted."""

from __future__ import annotations

from scipy import special

_LEVEL = 0.01


def keeps_budget(false_incidents: int, windows: int, rate: float) -> bool:
    """Say whether so many false incidents in so many windows may be chance at the budgeted rate.

    An exact one-sided Poisson test at 1 %: incidents are rare and start anew after each.

    Args:
        false_incidents: opened, without measured loss beyond the margin.
        windows: judged.
        rate: budgeted incidents per window.

    Raises:
        ValueError: if a number is negative.
    """
    if min(false_incidents, windows, rate) < 0:
        msg = f"false incidents {false_incidents}, windows {windows}, rate {rate}: none is below 0"
        raise ValueError(msg)
    if false_incidents == 0:
        return True
    return bool(special.gammainc(false_incidents, windows * rate) > _LEVEL)
