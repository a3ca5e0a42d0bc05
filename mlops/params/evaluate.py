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
    top_k: int = Field(ge=2)
    """A label among so many likeliest classes counts in the top-k accuracy."""
    min_slice_rows: int = Field(ge=1)
    """Slices with fewer rows are listed as not assessable."""
    weak_depth: int = Field(ge=0, le=6)
    """Most conditions of a weak slice that is searched for; 0 searches for none."""
    protected: tuple[str, ...] = Field(strict=False)
    """Slice columns whose groups are compared for fairness: `class`, `origin`, or what the images
    look like: `brightness`, `contrast` …, each in thirds."""
    robustness_rows: int = Field(ge=0)
    """Test rows that the corruption suite is run on, at most; 0 leaves it out."""
    explained: int = Field(ge=0, le=12)
    """Mistakes whose attributions are drawn, each beside a right answer; 0 leaves them out."""
    seed: int = Field(ge=0)
    """Seed of resampling, corruptions and the rows that are corrupted."""
