"""What a run of `monitor` judged, in numbers: windows themselves are not held, they may be many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.adapters.incidents import Incident
    from mlops.adapters.windows import Window
    from mlops.site import Event, Facts


@dataclass(frozen=True)
class Tally:
    """The windows of one run.

    Attributes:
        windows: judged.
        alarms: of them.
        calibrated: whether the newest one's thresholds were.
    """

    windows: int = 0
    alarms: int = 0
    calibrated: bool = True

    def plus(self, window: Window) -> Tally:
        """Return the tally with one window more."""
        alarms, calibrated = self.alarms + window.verdict.alarm, window.verdict.calibrated
        return Tally(self.windows + 1, alarms, calibrated)

    def words(self, held: Sequence[Incident], events: Sequence[Event]) -> str:
        """Say what was judged, which incidents are open, and what happened."""
        parts = [f"{self.windows} windows judged, {self.alarms} in alarm"]
        if not self.calibrated:
            parts.append("thresholds uncalibrated: the reference is too small to promise a budget")
        parts.extend(f"{i.kind} incident {i.id} open ({i.cause}; {i.body.triage})" for i in held)
        parts.extend(event.name for event in events)
        return "; ".join(parts)

    def facts(self, held: Sequence[Incident], events: Sequence[Event]) -> Facts:
        """Return the same for programs."""
        asked = [e.payload["retrain"] for e in events if e.name == "retrain.requested"]
        return {
            "windows": self.windows,
            "alarms": self.alarms,
            "incident": held[0].id if held else None,
            "retrain": asked[0] if asked else None,
        }
