"""Section `training_window`: which of the rows that may train do train."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mlops.params.base import Section


class TrainingWindowSection(Section):
    """Which of the rows that may train do train, and with which weight (step `prepare`).

    Validation, test, recent and reference rows are the same under every policy.
    """

    policy: Literal["all", "sliding", "weighted", "production"]
    """`all`; the newest alone (`sliding`: `days`, `rows`); all, `weighted` by recency
    (`half_life_days`); `production` rows alone."""
    days: float | None = Field(default=None, gt=0.0)
    """Sliding: rows at most so much older than the newest one that trains; null: of any age."""
    rows: int | None = Field(default=None, ge=1)
    """Sliding: at most so many, the newest; null: any number."""
    half_life_days: float = Field(default=90.0, gt=0.0)
    """Weighted: a row so much older than the newest counts half in the loss."""
    min_rows: int = Field(default=500, ge=1)
    """Sliding, production: a window with fewer rows reaches further back until it has so many."""

    @model_validator(mode="after")
    def _sliding_has_a_width(self) -> TrainingWindowSection:
        if self.policy == "sliding" and self.days is None and self.rows is None:
            msg = "training_window.policy = sliding needs a width; give days or rows"
            raise ValueError(msg)
        return self
