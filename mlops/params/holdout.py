"""Section `holdout`: which rows are kept from training as evidence and as reference."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class HoldoutSection(Section):
    """Which rows are kept from training (steps `prepare`, `promote`)."""

    recent_share: float = Field(gt=0.0, lt=1.0)
    """Share of the production rows, the newest, kept from training so that the gate has
    labelled rows later than everything the candidate was fitted on."""
    gap_s: float = Field(ge=0.0)
    """Seconds between the last trained production row and the first row the gate may use;
    raise it to the time over which your rows resemble each other."""
    reference_rows: int = Field(ge=50)
    """At most so many held-out rows as the reference for drift, the newest first."""
