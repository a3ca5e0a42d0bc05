"""Section `evaluate`: how the candidate is measured."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class EvaluateSection(Section):
    """How the candidate is measured (step `evaluate`)."""

    confidence: float = Field(gt=0.5, lt=1.0)
    """Coverage of every interval."""
    resamples: int = Field(ge=200)
    """Bootstrap resamples per interval."""
    bins: int = Field(ge=2)
    """Bins of the calibration curve."""
    min_slice_rows: int = Field(ge=1)
    """Slices with fewer rows are listed as not assessable."""
    seed: int = Field(ge=0)
    """Seed of the resampling."""
