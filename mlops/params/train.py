"""Section `train`: the final training."""

from __future__ import annotations

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
    parity: float = Field(gt=0.0)
    """Largest difference in probability allowed between the trained and the exported model.

    Beyond it the model is served by `torch.export` instead of ONNX, slower.
    """
