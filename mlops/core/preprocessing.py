"""The preprocessing that travels with a network from training to the model file.

What is trained is what is exported and served: one module from the arrays of
`mlops.core.features` to answers. A class has its probability; a number has three quantiles that
cannot cross.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlops.core.schema import ImageSchema, TableSchema, TextSchema
from mlops.core.statistics import KNOTS

if TYPE_CHECKING:
    from mlops.core.schema import Schema
    from mlops.core.statistics import Statistics

ENCODING = KNOTS + 2
"""Figures per number of a table: its place in each bin, itself standardised, whether it is
missing."""
SPECIAL_CODES = 2
"""Codes after a column's categories: of an unknown one, and of a missing one."""
_FURTHEST = 6.0  # standard deviations: what lies beyond is an outlier, and drives no weight
_HIDDEN = 0.01
"""Share of a table's values that training hides: so the network learns what a missing number and
an unknown category mean, though the training rows may have none."""


class Preprocessed(nn.Module):
    """A network with its preprocessing before it and its answers' form behind it.

    Args:
        network: from what `prepared` gives to outputs, float32 (N, K).
        statistics: of the training rows.
    """

    target: Tensor

    def __init__(self, network: nn.Module, statistics: Statistics) -> None:
        super().__init__()
        self.network = network
        self.regression = bool(statistics.target)
        if self.regression:
            target = torch.tensor(statistics.target, dtype=torch.float64)
            self.register_buffer("target", target.to(torch.float32))

    def prepared(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the network's arguments."""
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        """Return float32 (N, K): logits of the classes, or quantiles of the standardised target."""
        out: Tensor = self.network(*self.prepared(x))
        if not self.regression:
            return out
        middle = out[:, 1:2]
        # A distance above zero each way: the quantiles cannot cross.
        below, above = functional.softplus(out[:, 0:1]), functional.softplus(out[:, 2:3])
        return torch.cat([middle - below, middle, middle + above], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return answers, float32 (N, K): probabilities, or quantiles in the target's unit."""
        if self.regression:
            return self.logits(x) * self.target[1] + self.target[0]
        return torch.softmax(self.logits(x), dim=1)


class ImagePreprocessed(Preprocessed):
    """From raw pixels, uint8 (N, H, W, C): each channel standardised, channels first."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, statistics: Statistics) -> None:
        super().__init__(network, statistics)
        spread = [value if value > 0.0 else 1.0 for value in statistics.std]
        self.register_buffer("mean", torch.tensor([255.0 * value for value in statistics.mean]))
        self.register_buffer("std", torch.tensor([255.0 * value for value in spread]))

    def prepared(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return normalised float32 (N, C, H, W)."""
        scaled = (x.to(torch.float32) - self.mean) / self.std
        # A permuted view is already channels-last in memory, which convolutions like best.
        return (scaled.permute(0, 3, 1, 2),)


class TablePreprocessed(Preprocessed):
    """From rows of a table, float64 (N, D): encoded numbers, and codes of categories.

    Numbers are standardised and encoded before they are cast: a time in seconds or a price in the
    millions would lose its last digits in float32.
    Source: Y. Gorishniy, I. Rubachev, A. Babenko, On embeddings for numerical features in tabular
    deep learning (2022): the piecewise linear encoding with bins at quantiles.
    """

    mean: Tensor
    std: Tensor
    knots: Tensor
    sizes: Tensor

    def __init__(self, network: nn.Module, statistics: Statistics, schema: TableSchema) -> None:
        super().__init__(network, statistics)
        kinds = [column.kind for column in schema.columns]
        self._numbers = [c for c, kind in enumerate(kinds) if kind == "number"]
        self._names = [c for c, kind in enumerate(kinds) if kind == "category"]
        wide = torch.float64
        self.register_buffer("mean", torch.tensor(statistics.mean, dtype=wide))
        self.register_buffer("std", torch.tensor(statistics.std, dtype=wide))
        knots = torch.tensor(statistics.knots, dtype=wide).reshape(-1, KNOTS + 1)
        self.register_buffer("knots", knots)
        sizes = [len(schema.columns[c].categories) for c in self._names]
        self.register_buffer("sizes", torch.tensor(sizes, dtype=wide))

    def prepared(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return encoded numbers, float32 (N, numbers, ENCODING), and codes, int64 (N, names)."""
        if self.training:
            hidden = torch.rand(x.shape, device=x.device) < _HIDDEN
            x = torch.where(hidden, torch.full_like(x, torch.nan), x)
        return self._encoded(x[:, self._numbers]), self._coded(x[:, self._names])

    def _encoded(self, number: Tensor) -> Tensor:
        missing = torch.isnan(number)
        known = torch.where(missing, self.mean, number)
        standard = torch.clamp((known - self.mean) / self.std, -_FURTHEST, _FURTHEST)
        width = torch.clamp(self.knots[:, 1:] - self.knots[:, :-1], min=1e-12)
        place = torch.clamp((known.unsqueeze(2) - self.knots[:, :-1]) / width, 0.0, 1.0)
        place = torch.where(missing.unsqueeze(2), torch.zeros_like(place), place)
        flags = missing.to(place.dtype).unsqueeze(2)
        return torch.cat([place, standard.unsqueeze(2), flags], dim=2).to(torch.float32)

    def _coded(self, code: Tensor) -> Tensor:
        """Return codes with the unknown and the missing behind the categories.

        A code beyond the categories is of a newer schema: unknown to this model.
        """
        strange = (code < 0) | (code >= self.sizes)
        if self.training:  # some of what was hidden is unknown, the rest missing
            strange = strange | (torch.isnan(code) & (torch.rand(code.shape) < 0.5).to(code.device))
        placed = torch.where(torch.isnan(code), self.sizes + 1, code)
        return torch.where(strange, self.sizes, placed).to(torch.int64)


class TextPreprocessed(Preprocessed):
    """From the bytes of texts, uint8 (N, L): the same as whole numbers, capitals made small."""

    def prepared(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return int64 (N, L)."""
        code = x.to(torch.int64)
        return (torch.where((code >= ord("A")) & (code <= ord("Z")), code + 32, code),)


def with_preprocessing(network: nn.Module, statistics: Statistics, schema: Schema) -> Preprocessed:
    """Return `network` as one module from the arrays of a schema to answers."""
    if isinstance(schema, ImageSchema):
        model = ImagePreprocessed(network, statistics)
        return model.to(memory_format=torch.channels_last)
    if isinstance(schema, TextSchema):
        return TextPreprocessed(network, statistics)
    return TablePreprocessed(network, statistics, schema)
