"""Section `labels`: which predictions get labels, and when they should be here."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class LabelsSection(Section):
    """Which predictions get labels, and when (step `promote`)."""

    sample: float = Field(gt=0.0, le=1.0)
    """Share of the predictions that are to be labelled, chosen by hash of the example: at random,
    and by nobody. Other labels, as from complaints or active learning, train but do not judge."""
    delay_minutes: float = Field(ge=0.0)
    """How long labels take; younger predictions neither judge nor count as unlabelled."""
    min_coverage: float = Field(gt=0.0, le=1.0)
    """Least share of the sample that must be labelled for its rows to judge."""
