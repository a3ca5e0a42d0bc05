"""Section `promote`: whether a person has the last word."""

from __future__ import annotations

from typing import Literal

from mlops.params.base import Section


class PromoteSection(Section):
    """What happens with a candidate that passed the gate (step `promote`)."""

    approval: Literal["auto", "required"]
    """auto: it is promoted at once; required: it becomes `challenger` until a person approves."""
