"""Section `backtest`: how history is walked through. Touching it retrains nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlops.params.base import Section


class BacktestSection(Section):
    """How history is walked through (verb `backtest`)."""

    windows: Literal["rows", "day", "week", "month"] = "rows"
    """`rows`: as `monitor` cuts them; else calendar days, weeks or months (UTC)."""
    first_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the rows, the oldest, that the first model learns from, where `--from` does not
    say when the walk begins."""
    model: Literal["quick", "project"] = "quick"
    """`quick`: boosted trees stand in for the project's network, so that a retrain takes seconds;
    `project`: the network itself, trained as `mlops train` does."""
    refit: Literal["loss", "policy"] = "loss"
    """What a retrain learns from. `loss`: the windows since the loss began, and as many before as
    hold `trigger.min_new_labels`; `policy`: all that is known, as `training_window` says."""
