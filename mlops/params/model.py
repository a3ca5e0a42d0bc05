"""Section `model`: what trials and the final training have in common."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class ModelSection(Section):
    """What is tuned and trained, and on which batches (steps `tune`, `train`)."""

    network: str = Field(pattern=r"^[a-z_]\w*(\.\w+)+$")
    """Class path of a `torch.nn.Module`, called as
    `Network(channels=…, height=…, width=…, classes=…, width_factor=…, dropout=…)`."""
    batch_size: int = Field(ge=2)
    """Rows per optimiser step."""
    augment: bool
    """Whether training images are shifted, rotated and dimmed a little."""
