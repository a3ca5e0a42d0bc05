"""Section `tune`: the search for hyper-parameters."""

from __future__ import annotations

from pydantic import Field, model_validator

from mlops.params.base import Section


class TuneSection(Section):
    """The search for hyper-parameters (step `tune`)."""

    trials: int = Field(ge=1)
    """Number of finished or pruned trials after which the search ends."""
    minutes: float = Field(gt=0.0)
    """The search ends after so many minutes too, with at least one finished trial."""
    epochs: int = Field(ge=1)
    """Epochs of one trial, before pruning."""
    rows: int = Field(ge=50)
    """At most so many training rows per trial."""
    seed: int = Field(ge=0)
    """Seed of the sampler and of every trial."""
    learning_rate: tuple[float, float] = Field(strict=False)
    """Lowest and highest learning rate, searched in the logarithm."""
    weight_decay: tuple[float, float] = Field(strict=False)
    """Lowest and highest weight decay, searched in the logarithm."""
    dropout: tuple[float, float] = Field(strict=False)
    """Lowest and highest dropout probability."""
    width_factor: tuple[float, ...] = Field(strict=False, min_length=1)
    """Widths of the network to choose from, as multiples of its standard width."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> TuneSection:
        for name in ("learning_rate", "weight_decay", "dropout"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high or (name != "dropout" and low == 0.0):
                msg = f"tune.{name} = [{low}, {high}]: write [low, high] with 0 < low <= high"
                raise ValueError(msg)
        return self
