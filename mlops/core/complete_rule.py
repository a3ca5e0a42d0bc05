"""The complete rule of drift: over single windows, and over what a version's windows add up to.

One for `monitor` and `backtest`: windows with broken data are left out before it is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mlops.core.continuous import averaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.alarm import Rule, Verdict
    from mlops.core.continuous import Detector

_NONE_YET = 1.0  # evidence below it says nothing; what came before did not lead to what is now


class Judged(Protocol):
    """A window of sound data that was judged."""

    @property
    def verdict(self) -> Verdict:
        """Its own."""

    @property
    def evidence(self) -> float:
        """What its version's windows up to it add up to."""


W = TypeVar("W", bound=Judged)


@dataclass(frozen=True)
class Raised(Generic[W]):
    """Why an incident opens.

    Attributes:
        windows: that it comes from, oldest first.
        cause: the column that moved most.
        gradual: whether they show it together only.
    """

    windows: tuple[W, ...]
    cause: str
    gradual: bool


@dataclass(frozen=True)
class CompleteRule:
    """The rule over single windows, and over what they add up to if that is asked for."""

    single: Rule
    detector: Detector | None

    def raised(self, since: Sequence[W]) -> Raised[W] | None:
        """Say whether the windows since the last change, oldest first, open an incident."""
        looked = since[-self.single.raise_n :]
        if self.single.raises([bool(w.verdict.drifted) for w in looked]):
            alarming = tuple(w for w in looked if w.verdict.drifted)
            worst = max(alarming, key=lambda w: w.verdict.severity).verdict
            cause = (looked[-1].verdict.drifted or worst.drifted)[0].column
            return Raised(alarming, cause, gradual=False)
        if not since or not self.gathered(since[-1]):
            return None
        last = max((n for n, w in enumerate(since) if w.evidence < _NONE_YET), default=-1)
        run = tuple(since[last + 1 :])
        return Raised(run, averaged([w.verdict for w in run])[0].column, gradual=True)

    def gathered(self, window: Judged) -> bool:
        """Say whether a window's evidence opens an incident."""
        return self.detector is not None and self.detector.raises(window.evidence)

    def clears(self, since: Sequence[Judged]) -> bool:
        """Say whether the windows since an incident opened close it.

        None of the last ones alarms, and the evidence has faded as well.
        """
        if not self.single.clears([bool(w.verdict.drifted) for w in since]):
            return False
        return self.detector is None or self.detector.clears(since[-1].evidence)
