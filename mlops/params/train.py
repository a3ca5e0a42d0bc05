"""Section `train`: the final training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlops.params.base import Section


class TrainSection(Section):
    """The final training (step `train`)."""

    epochs: int = Field(ge=1)
    """Most epochs."""
    patience: int = Field(ge=1)
    """Epochs without a better validation loss after which training stops."""
    seed: int = Field(ge=0)
    """Seed of weights and order."""
    start: Literal["scratch", "warm", "auto"] = "scratch"
    """Weights to begin with: fresh ones; the champion's (`warm`), where network, split and schema
    are the same; or what does better after `probe_epochs` (`auto`)."""
    probe_epochs: int = Field(default=3, ge=1)
    """Epochs of the two short trainings from which `auto` chooses."""
    parity: float = Field(gt=0.0)
    """Largest difference in probability allowed between the trained and the exported model.

    Beyond it the model is served by `torch.export` instead of ONNX, slower.
    """
    int8: float | None = Field(default=None, ge=0.0, le=0.5)
    """Largest accuracy that rounding the ONNX file to eight bits may cost, for it to be done; of a
    regression the largest rise of the mean absolute error, as a share of it. None: never.

    It is judged by the upper bound on the validation rows; the gate then judges what is kept.
    """
