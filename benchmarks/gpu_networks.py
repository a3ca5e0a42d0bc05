"""A network as a user would name it in `params.yaml`: torchvision's, by a class path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torchvision.models import resnet18

if TYPE_CHECKING:
    from torch import Tensor


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2015), not pretrained; its widths are its own.

    Args:
        channels: 3.
        height: pixels, 32 or more.
        width: pixels.
        classes: number of labels.
        width_factor: ignored.
        dropout: ignored.
    """

    def __init__(  # noqa: PLR0917 - `build` passes them by name
        self, channels: int, height: int, width: int, classes: int,
        width_factor: float = 1.0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        del channels, height, width, width_factor, dropout
        self.features = resnet18(num_classes=classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        logits: Tensor = self.features(x_NCHW)
        return logits
