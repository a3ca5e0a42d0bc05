"""False incidents as they came, against those that were budgeted."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

_LEVEL = 0.01


@dataclass(frozen=True)
class Realised:
    """What drift alarms have come to so far.

    A drift incident is false if accuracy, measured, stayed within the margin; a retrain, if an
    incident asked for it that turned out false.

    Attributes:
        windows: judged.
        alarming: those of them that alarmed.
        incidents: drift incidents opened.
        false_incidents: those of them that were false.
        unmeasured: those of them whose accuracy was never measured: neither true nor false.
        budget: false incidents allowed in as many windows.
        retrains: that incidents asked for.
        false_retrains: those of them that were false.
    """

    windows: int
    alarming: int
    incidents: int
    false_incidents: int
    unmeasured: int
    budget: float
    retrains: int
    false_retrains: int

    @property
    def within(self) -> bool:
        """Whether chance explains that the false incidents are more than the budget."""
        rate = self.budget / max(self.windows, 1)
        return keeps_budget(self.false_incidents, self.windows, rate)

    @property
    def note(self) -> str:
        """The line at the foot of a mail."""
        return f"Alarms so far: {self}."

    def __str__(self) -> str:
        """Return it in words, on one line."""
        unknown = f", {self.unmeasured} not measured" if self.unmeasured else ""
        over = "" if self.within else ": MORE THAN BUDGETED, beyond chance"
        return (
            f"{self.alarming} of {self.windows} windows; {self.incidents} incidents, "
            f"{self.false_incidents} of them false (budget {self.budget:.2f}){unknown}{over}; "
            f"{self.retrains} retrains asked for, {self.false_retrains} of them false"
        )


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
