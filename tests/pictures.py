"""Image models for tests: a network behind the preprocessing that training puts before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlops.core.preprocessing import ImagePreprocessed
from mlops.core.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


def image_model(
    network: nn.Module, mean: Sequence[float], std: Sequence[float]
) -> ImagePreprocessed:
    """Return a network as one module from uint8 (N, H, W, C) to probabilities."""
    model = ImagePreprocessed(network, Statistics(tuple(mean), tuple(std)))
    return model.to(memory_format=torch.channels_last)
