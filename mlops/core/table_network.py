"""The network for tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class TableNet(nn.Module):
    """Encoded numbers and embedded categories, then residual blocks.

    Source: Y. Gorishniy et al., Revisiting deep learning models for tabular data (2021), the
    ResNet of section 3.2, which boosted trees hardly beat once numbers are encoded piecewise.

    Args:
        numbers: columns of numbers.
        encoding: figures per number.
        categories: per column of names, how many codes there are.
        outputs: numbers to answer with.
        width_factor: multiple of the standard width of 192.
        dropout: probability of dropping a feature inside a block.
    """

    _WIDTH, _BLOCKS = 192, 2

    def __init__(  # noqa: PLR0917 - `build` passes them by name
        self,
        numbers: int,
        encoding: int,
        categories: Sequence[int],
        outputs: int,
        width_factor: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        # The usual rule of thumb: wide enough for the names, never wider than is learnt.
        sizes = [min(24, 2 + round(1.6 * n**0.5)) for n in categories]
        self.embeddings = nn.ModuleList(
            nn.Embedding(n, size) for n, size in zip(categories, sizes, strict=True)
        )
        width = max(16, round(self._WIDTH * width_factor / 8) * 8)
        self.first = nn.Linear(numbers * encoding + sum(sizes), width)
        self.blocks = nn.ModuleList(_Block(width, dropout) for _ in range(self._BLOCKS))
        self.last = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, number_NDE: Tensor, code_NC: Tensor) -> Tensor:
        """Return outputs (N, outputs) of encoded numbers, float32, and codes, int64."""
        parts = [number_NDE.flatten(1)]
        parts += [table(code_NC[:, place]) for place, table in enumerate(self.embeddings)]
        h: Tensor = self.first(torch.cat(parts, dim=1))
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.last(h)
        return out


class _Block(nn.Module):
    """Normalise, widen, drop, narrow, and add what came in."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(2 * width, width), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, h_NW: Tensor) -> Tensor:
        out: Tensor = h_NW + self.inner(h_NW)
        return out
