"""Networks, and the preprocessing that travels with them from training to the model file."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlops.errors import ParamsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.schema import ImageSchema


class SmallCNN(nn.Module):
    """Three 3×3 convolutions with batch normalisation, for images from 4×4 to about 64×64.

    The first two are followed by 2×2 max pooling while both sides stay at 4 pixels or more; the
    last map is averaged to at most 4×4. At width 1: 16, 32 and 64 channels.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of labels.
        width_factor: multiple of the standard numbers of channels.
        dropout: probability of dropping a feature before the last layer.
    """

    def __init__(  # noqa: PLR0917 - `build` passes them by name
        self,
        channels: int,
        height: int,
        width: int,
        classes: int,
        width_factor: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for block, standard in enumerate((16, 32, 64)):
            after = max(4, round(standard * width_factor / 4) * 4)
            # No bias: the batch normalisation that follows would remove it.
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers.append(nn.ReLU())
            if block < 2 and min(height, width) >= 8:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            before = after
        # Plain average pooling with a fixed window: adaptive pooling has no ONNX operator.
        window = (max(1, height // 4), max(1, width // 4))
        layers.append(nn.AvgPool2d(window))
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before * (height // window[0]) * (width // window[1]), classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return logits (N, classes) of normalised float32 images."""
        logits: Tensor = self.head(self.dropout(self.features(x_NCHW).flatten(1)))
        return logits


class Preprocessed(nn.Module):
    """A network from raw pixels on: what is trained is what is exported and served.

    Args:
        network: from normalised float32 (N, C, H, W) to logits (N, K).
        mean: one per channel, of pixels divided by 255.
        std: likewise; a channel without spread counts as 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        spread = [value if value > 0.0 else 1.0 for value in std]
        self.register_buffer("mean", torch.tensor([255.0 * value for value in mean]))
        self.register_buffer("std", torch.tensor([255.0 * value for value in spread]))

    def logits(self, x_NHWC: Tensor) -> Tensor:
        """Return logits, float32 (N, K), of uint8 images (N, H, W, C)."""
        scaled = (x_NHWC.to(torch.float32) - self.mean) / self.std
        # A permuted view is already channels-last in memory, which convolutions like best.
        out: Tensor = self.network(scaled.permute(0, 3, 1, 2))
        return out

    def forward(self, x_NHWC: Tensor) -> Tensor:
        """Return probabilities, float32 (N, K), of uint8 images (N, H, W, C)."""
        return torch.softmax(self.logits(x_NHWC), dim=1)


def with_preprocessing(
    network: nn.Module, mean: Sequence[float], std: Sequence[float]
) -> Preprocessed:
    """Return `network` as one module from uint8 (N, H, W, C) to probabilities (N, K)."""
    return Preprocessed(network, mean, std).to(memory_format=torch.channels_last)


def network_class(path: str) -> type[nn.Module]:
    """Return the network that a class path names.

    Raises:
        ParamsError: if there is no such module or class, or it is no `torch.nn.Module`.
    """
    module_name, _, name = path.rpartition(".")
    key = f'params.yaml: model.network = "{path}"'
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        msg = f"{key} cannot be imported ({error}); write module.Class, such as {_EXAMPLE}"
        raise ParamsError(msg) from None
    found = getattr(module, name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        what = "is no torch.nn.Module" if found is not None else f"is not in {module_name}"
        raise ParamsError(f"{key}: {name} {what}; write module.Class, such as {_EXAMPLE}")
    return found


def build(path: str, schema: ImageSchema, *, width_factor: float, dropout: float) -> nn.Module:
    """Return a fresh network for images of `schema`, with torch's global seed.

    Raises:
        ParamsError: if the class is unknown or does not take the arguments.
    """
    found = network_class(path)
    try:
        return found(
            channels=schema.channels,
            height=schema.height,
            width=schema.width,
            classes=len(schema.classes),
            width_factor=width_factor,
            dropout=dropout,
        )
    except (TypeError, ValueError) as error:
        msg = f'params.yaml: model.network = "{path}" cannot be built for {schema.shape}: {error}'
        raise ParamsError(msg) from error


_EXAMPLE = "mlops.core.networks.SmallCNN"
