"""Section `checks`: what data must satisfy before anything is trained on it."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class ChecksSection(Section):
    """What a snapshot must satisfy (step `validate`)."""

    min_rows: int = Field(ge=1)
    """Fewest examples in the snapshot."""
    min_class_share: float = Field(ge=0.0, lt=1.0)
    """Smallest share of labelled rows that each class may have."""
    max_duplicate_share: float = Field(ge=0.0, le=1.0)
    """Largest share of base rows with a near-copy of another entity among the base rows, and of
    held-out rows with a near-copy among the training rows."""
    max_conflict_share: float = Field(ge=0.0, le=1.0)
    """Largest share of base rows with equal features and different labels."""
    max_unlabelled_share: float = Field(ge=0.0, le=1.0)
    """Largest share of rows without a label."""
    max_constant_share: float = Field(ge=0.0, le=1.0)
    """Largest share of images that are one flat colour, of rows without a value, of empty texts."""
    max_missing_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Tables: largest share of missing values in a column."""
    max_novel_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """Tables: largest share of production rows with a number outside the range of the base rows,
    or with a category that these have not; more of them is a warning."""
