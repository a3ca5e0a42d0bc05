"""What preprocessing knows of the training rows: it travels with the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.canonical import from_plain
from mlops.core.schema import ImageSchema, TableSchema
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlops.core.schema import Schema

KNOTS = 24
"""Most bins of a number's piecewise linear encoding; fewer where values crowd."""
_FLATTEST = 1e-3  # a channel that never changes must not be divided by nothing


@dataclass(frozen=True)
class Statistics:
    """Of the training rows alone; lists, as JSON holds them.

    Attributes:
        mean: images: one per channel, of pixels in 0…1; tables: one per number; texts: none.
        std: likewise; never 0.
        knots: tables: per number its quantiles at equal steps, ascending, `KNOTS` + 1 of them;
            equal ones where values crowd.
        target: regression: mean and standard deviation of the target; else none.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    knots: tuple[tuple[float, ...], ...] = ()
    target: tuple[float, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return it as it stands in `split.json` and `model.json`; what is empty is left out."""
        found = asdict(self)
        return {name: v for name, v in found.items() if v or name in ("mean", "std")}


def parse_statistics(content: Mapping[str, Any], where: str) -> Statistics:
    """Read statistics back from the keys of `split.json` or `model.json`.

    Raises:
        DataError: naming the file and the key.
    """
    names = Statistics.__dataclass_fields__
    known = {"knots": [], "target": [], **{n: content[n] for n in names if n in content}}
    try:
        return from_plain(Statistics, known)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def measure(features: NDArray[Any], label_N: NDArray[Any], schema: Schema) -> Statistics:
    """Return the statistics of training rows.

    Args:
        features: (N, *shape) of the schema, N ≥ 1.
        label_N: their labels, int64; of a regression float64.
        schema: of the examples.
    """
    target: tuple[float, ...] = ()
    if not schema.classes:
        target = (float(label_N.mean()), float(label_N.std()) or 1.0)
    if isinstance(schema, ImageSchema):
        return Statistics(*_channels(features), target=target)
    if not isinstance(schema, TableSchema):
        return Statistics((), (), target=target)
    numbers = [c for c, column in enumerate(schema.columns) if column.kind == "number"]
    found = [_number(features[:, c]) for c in numbers]
    mean, std, knots = zip(*found, strict=True) if found else ((), (), ())
    return Statistics(mean, std, knots, target)


def _number(value_N: NDArray[np.float64]) -> tuple[float, float, tuple[float, ...]]:
    known = value_N[~np.isnan(value_N)]
    if len(known) == 0:
        return 0.0, 1.0, (0.0,) * (KNOTS + 1)
    knots = np.quantile(known, np.linspace(0.0, 1.0, KNOTS + 1))
    # Of values that crowd, one knot: the rest go to the end, where they say nothing.
    own = np.unique(knots)
    knots = np.concatenate([own, np.full(len(knots) - len(own), own[-1])])
    return float(known.mean()), float(known.std()) or 1.0, tuple(knots.tolist())


def _channels(image_NHWC: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of pixels scaled to 0…1.

    From a histogram: exact, and without a float copy of the images.
    """
    mean, std = [], []
    levels = np.arange(256) / 255.0
    for channel in range(image_NHWC.shape[3]):
        share = np.bincount(image_NHWC[..., channel].ravel(), minlength=256).astype(np.float64)
        share /= share.sum()
        middle = float(share @ levels)
        mean.append(middle)
        std.append(max(float(np.sqrt(share @ (levels - middle) ** 2)), _FLATTEST))
    return tuple(mean), tuple(std)
