"""Section `reports`: how long the pages of windows are kept."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class ReportsSection(Section):
    """How long the pages of windows are kept (verb `report`)."""

    keep_days: float = Field(gt=0.0)
    """Pages of windows that ended longer ago are deleted, here and in MLflow; their verdicts stay
    in the database."""
