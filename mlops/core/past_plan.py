"""What a backtest walks through, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.calibration import Rules
    from mlops.core.continuous import Detector
    from mlops.core.past_gate import Judging
    from mlops.core.past_service import Dealing
    from mlops.core.trigger import Policy


@dataclass(frozen=True)
class Plan:
    """What is walked through, and by which rules.

    Attributes:
        windows: of the whole history, in order.
        first: windows before this one are what the first model learns from; the walk begins here.
        rules: of the calibration; their rule and budget are those of incidents.
        gathering: of shifts that no single window shows, with its own share of the budget; None
            for none.
        margin: loss of accuracy that is worth a retrain.
        min_labels: fewest labels from which accuracy counts as measured.
        delay_s: how long labels take.
        policy: of the trigger.
        scheduled: places of windows in which `trigger.schedule` asks for a retrain.
        judging: of the gate.
        dealing: of every span that a model is fitted on.
        since_loss: whether a retrain that an incident asks for learns from the windows since the
            loss began, and as many before as hold `policy.min_new_labels`; else from all, by
            `dealing.window`.
    """

    windows: tuple[slice, ...]
    first: int
    rules: Rules
    gathering: Detector | None
    margin: float
    min_labels: int
    delay_s: float
    policy: Policy
    judging: Judging
    dealing: Dealing
    since_loss: bool
    scheduled: frozenset[int] = frozenset()

    def known_until_s(self, observed_s: NDArray[np.float64], place: int) -> float:
        """Return the time of the last row whose label is here when a window is looked at.

        That is once its labels have come, if they come before the next window ends; else as it
        ends.

        Args:
            observed_s: of all of history, ascending.
            place: of the window.
        """
        end_s, *later_s = (float(observed_s[w.stop - 1]) for w in self.windows[place : place + 2])
        timely = bool(later_s) and end_s + self.delay_s < later_s[0]
        return end_s if timely else end_s - self.delay_s
