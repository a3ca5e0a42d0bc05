"""Section `model`: which network is tuned and trained."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class ModelSection(Section):
    """Which network is tuned and trained (steps `tune`, `train`)."""

    network: str = Field(pattern=r"^[a-z_]\w*(\.\w+)+$")
    """Class path of a `torch.nn.Module`, called as
    `Network(channels=…, height=…, width=…, classes=…, width_factor=…, dropout=…)`."""
