"""What a backtest walks through, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        judging: of the gate.
        dealing: of every span that a model is fitted on.
        since_loss: whether a retrain learns from the windows since the loss began, and as many
            before as hold `policy.min_new_labels`; else from all, by `dealing.window`.
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
