"""Networks by their class path, and the one for images."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from torch import nn

from mlops.core.preprocessing import ENCODING, SPECIAL_CODES
from mlops.core.schema import ImageSchema, TextSchema, outputs
from mlops.errors import ParamsError

if TYPE_CHECKING:
    from torch import Tensor

    from mlops.core.schema import Schema

AUTO = "auto"
DEFAULTS = {
    "image": "mlops.core.networks.SmallCNN",
    "table": "mlops.core.table_network.TableNet",
    "text": "mlops.core.text_network.TextNet",
}
"""Kind of examples → the network that `auto` stands for."""


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


def build(path: str, schema: Schema, *, width_factor: float, dropout: float) -> nn.Module:
    """Return a fresh network for examples of `schema`, with torch's global seed.

    Args:
        path: class path; `auto` for the one that this project has for the kind of examples.
        schema: of the examples.
        width_factor: multiple of the network's standard width.
        dropout: probability.

    Raises:
        ParamsError: if the class is unknown or does not take the arguments.
    """
    path = class_path(path, schema)
    found = network_class(path)
    try:
        return found(**_size(schema), width_factor=width_factor, dropout=dropout)
    except (TypeError, ValueError) as error:
        msg = f'params.yaml: model.network = "{path}" cannot be built for {schema.shape}: {error}'
        raise ParamsError(f"{msg}; auto takes the network for a {schema.kind}") from error


def class_path(path: str, schema: Schema) -> str:
    """Return the class path that `auto` stands for, or the path that is given."""
    return DEFAULTS[schema.kind] if path == AUTO else path


def _size(schema: Schema) -> dict[str, Any]:
    """Return the arguments that tell a network of its input and output."""
    if isinstance(schema, ImageSchema):
        return {
            "channels": schema.channels, "height": schema.height, "width": schema.width,
            "classes": outputs(schema),
        }  # fmt: skip
    if isinstance(schema, TextSchema):
        return {"max_bytes": schema.max_bytes, "outputs": outputs(schema)}
    kinds = [column.kind for column in schema.columns]
    sizes = [len(c.categories) + SPECIAL_CODES for c in schema.columns if c.kind == "category"]
    return {
        "numbers": kinds.count("number"), "encoding": ENCODING, "categories": tuple(sizes),
        "outputs": outputs(schema),
    }  # fmt: skip


_EXAMPLE = DEFAULTS["image"]
