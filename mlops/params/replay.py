"""Section `replay`: how far a retrained candidate may lie from its record; retrains nothing."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class ReplaySection(Section):
    """When `mlops replay --retrain` says `reproduced`."""

    tolerance: float = Field(ge=0.0, allow_inf_nan=False)
    """Largest difference of a metric after retraining; relative for a metric above 1."""
