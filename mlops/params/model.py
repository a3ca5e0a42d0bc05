"""Section `model`: what trials and the final training have in common."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class ModelSection(Section):
    """What is tuned and trained, and on which batches (steps `tune`, `train`)."""

    network: str = Field(default="auto", pattern=r"^(auto|[a-z_]\w*(\.\w+)+)$")
    """Class path of a `torch.nn.Module`; `auto` for this project's own for the kind of examples.
    Called with `width_factor`, `dropout` and, for images, `channels`, `height`, `width`, `classes`;
    for tables `numbers`, `encoding`, `categories`, `outputs`; for texts `max_bytes`, `outputs`."""
    batch_size: int = Field(ge=2)
    """Rows per optimiser step."""
    augment: bool
    """Whether training images are shifted, rotated and dimmed a little; nothing else is."""
