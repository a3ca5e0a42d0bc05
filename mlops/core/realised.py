"""False incidents as they came, against those that were budgeted."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

_LEVEL = 0.01


@dataclass(frozen=True, kw_only=True)
class Realised:
    """What alarms have come to so far.

    An incident is false if accuracy, measured, stayed within the margin; a retrain, if an incident
    asked for it that turned out false. Those count that a rule opened which may err: of drift, and
    of rows that came in unlike before.

    Attributes:
        windows: judged.
        alarming: those of them that alarmed.
        counted: those of them that could open an incident of drift: sound, and of a version while
            it was in service.
        incidents: opened.
        false_incidents: those of them that were false.
        unmeasured: those of them whose accuracy nobody could measure: neither true nor false.
        overdue: those of these that are over, and whose labels have all had their time.
        breaks: incidents of broken data beside them: facts, which no budget is for.
        budget: false incidents allowed in the counted windows.
        retrains: that incidents asked for.
        false_retrains: those of them that were false.
    """

    windows: int
    alarming: int
    counted: int
    incidents: int
    false_incidents: int
    unmeasured: int
    overdue: int
    breaks: int
    budget: float
    retrains: int
    false_retrains: int

    @property
    def at_most(self) -> int:
        """False incidents, if all that were not measured are."""
        return self.false_incidents + self.unmeasured

    @property
    def within(self) -> bool:
        """Whether chance explains that those known to be false are more than the budget."""
        return self._keeps(self.false_incidents)

    @property
    def surely_within(self) -> bool:
        """Whether it would, too, if those were false whose labels are overdue."""
        return self._keeps(self.false_incidents + self.overdue)

    @property
    def note(self) -> str:
        """The line at the foot of a mail."""
        return f"Alarms so far: {self}."

    def __str__(self) -> str:
        """Return it in words, on one line."""
        false = f"{self.false_incidents}"
        if self.unmeasured:
            false = f"between {false} and {self.at_most}"
        broken = f"; {_many(self.breaks, 'quality break')}" if self.breaks else ""
        return (
            f"{self.alarming} of {_many(self.windows, 'window')}; "
            f"{_many(self.incidents, 'incident')}, {false} of them false (budget "
            f"{self.budget:.2f} in {_many(self.counted, 'window')}){self._unknown}{self._over}"
            f"{broken}; {_many(self.retrains, 'retrain')} asked for, {self.false_retrains} of "
            "them false"
        )

    @property
    def _unknown(self) -> str:
        late = f" ({self.overdue} past their labels' time)" if self.overdue else ""
        return f", {self.unmeasured} not measured{late}" if self.unmeasured else ""

    @property
    def _over(self) -> str:
        if not self.within:
            return ": MORE THAN BUDGETED, beyond chance"
        return "" if self.surely_within else ": more than budgeted if those past it were false"

    def _keeps(self, false_incidents: int) -> bool:
        rate = self.budget / max(self.counted, 1)
        return keeps_budget(false_incidents, self.counted, rate)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


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
