"""Whether a retrain is worth its cost: what a probe expects of it, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops.core.amounts import percent, points

if TYPE_CHECKING:
    from mlops.core.trigger import Loop, Policy

Says = Literal["worth it", "may be worth it", "not worth it", "no probe"]


@dataclass(frozen=True)
class Worth:
    """What a probe says, or why none could be made.

    Attributes:
        gain: expected, in accuracy; of a regression the share of the mean absolute error.
        low: the lower end of its 95 % interval.
        high: the upper end.
        rows: new rows that it was measured on.
        older: base rows that it was fitted on beside the new ones.
        regression: which of the two `gain` is.
        on: what the probe was fitted on, in words.
        trouble: why no probe could be made; empty if one was.
        fresh: whether it was made now; False if an earlier one still stands.
    """

    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0
    rows: int = 0
    older: int = 0
    regression: bool = False
    on: str = ""
    trouble: str = ""
    fresh: bool = True

    def says(self, least: float) -> Says:
        """Hold the interval against the least gain that is worth a retrain."""
        if self.trouble:
            return "no probe"
        if self.low >= least:
            return "worth it"
        return "not worth it" if self.high < least else "may be worth it"

    def brief(self, loop: Loop) -> str:
        """Return gain and cost in a clause, as a retrain's reason records them."""
        if self.trouble:
            return f"no probe: {self.trouble}"
        return f"probe {self._gain()} by its head alone, {_minutes(loop)}"

    def words(self, policy: Policy, loop: Loop, least: float) -> str:
        """Return the advice in a sentence: gain with its interval, and cost.

        Args:
            policy: what a month may cost.
            loop: what one costs and what was spent.
            least: `trigger.min_gain`.
        """
        cost = f"{_minutes(loop)}, {_left(policy, loop)}"
        if self.trouble:
            return f"no probe of the gain: {self.trouble}; {cost}"
        what = "mean absolute error smaller by" if self.regression else "accuracy"
        older = f" and {self.older} older ones" if self.older else ""
        asked = percent(least) if self.regression else points(least)
        return (
            f"{self.says(least)}: {self.on} refitted on new rows{older} gives {what} "
            f"{self._gain()} at 95 % on {self.rows} new rows, all layers maybe more; "
            f"trigger.min_gain asks for {asked}; {cost}"
        )

    def _gain(self) -> str:
        form = percent if self.regression else points
        return f"{form(self.gain)} ({form(self.low)} to {form(self.high)})"


def _minutes(loop: Loop) -> str:
    if not loop.typical_minutes:
        return "cost not known yet"
    return f"cost about {loop.typical_minutes:.2g} min"


def _left(policy: Policy, loop: Loop) -> str:
    retrains = f"{max(policy.max_per_month - loop.in_30_days, 0)} of {policy.max_per_month}"
    words = f"{retrains} retrains left in 30 days"
    if policy.max_minutes is None:
        return words
    left = max(policy.max_minutes - loop.minutes_30_days, 0.0)
    return f"{words}, {left:.0f} of {policy.max_minutes:.0f} minutes"
