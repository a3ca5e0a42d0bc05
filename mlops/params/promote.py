"""Section `promote`: whether a person has the last word."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlops.params.base import Section


class PromoteSection(Section):
    """What happens with a candidate that passed the gate (step `promote`)."""

    approval: Literal["auto", "required"]
    """auto: it is promoted at once; required: it becomes `challenger` until a person approves."""
    approval_days: float = Field(gt=0.0)
    """Days after which a paused Prefect run ends and a mail reminds; the decision stays open."""
