"""What every section of `params.yaml` has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen, strict section: unknown keys, texts for numbers and NaN are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class View(Section):
    """The sections that one step may see; its field names are the stage's `params:`."""
