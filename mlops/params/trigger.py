"""Section `trigger`: when an incident becomes a retrain."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class TriggerSection(Section):
    """When an incident becomes a retrain (verb `monitor`)."""

    enabled: bool
    """Whether `monitor` may ask for a retrain at all."""
    min_new_labels: int = Field(ge=1)
    """Fewest labelled predictions since the incident opened."""
    cooldown_minutes: float = Field(ge=0.0)
    """Fewest minutes between two retrains that incidents asked for."""
    max_per_month: int = Field(ge=0)
    """Most retrains in thirty days."""
    max_minutes_per_month: float | None = Field(gt=0.0)
    """Most minutes of machine time, GPU or CPU, that retrains may take in thirty days; null for
    no limit."""
    max_hours: float = Field(default=12.0, gt=0.0)
    """A retrain that has run so long without an end, or waited so long for its start, is taken
    for dead: recorded as failed, and no longer in the way of the next."""
