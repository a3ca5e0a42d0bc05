"""Section `split`: which side of the split a row stands on, for ever."""

from __future__ import annotations

from pydantic import Field, model_validator

from mlops.params.base import Section


class SplitSection(Section):
    """How rows are divided (steps `validate`, `prepare`)."""

    validation: float = Field(gt=0.0, lt=1.0)
    """Share of split keys used for early stopping and tuning."""
    test: float = Field(gt=0.0, lt=1.0)
    """Share of split keys that no model is ever fitted or tuned on."""
    salt: str = Field(min_length=1)
    """Changing it deals all rows anew: every earlier model then lacks evidence at the gate."""

    @model_validator(mode="after")
    def _leave_rows_to_train_on(self) -> SplitSection:
        if self.validation + self.test >= 1.0:
            msg = "split.validation + split.test must be below 1; lower one of them"
            raise ValueError(msg)
        return self
