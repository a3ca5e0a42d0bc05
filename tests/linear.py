"""A network whose attributions are known: logits are a linear function of the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Linear(nn.Module):
    """One matrix from pixels to logits."""

    def __init__(self, channels: int, height: int, width: int, classes: int, **_: float) -> None:
        super().__init__()
        self.head = nn.Linear(channels * height * width, classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        logits: Tensor = self.head(x_NCHW.flatten(1))
        return logits
