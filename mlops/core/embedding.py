"""What a model makes of its input: its last hidden layer along a few fixed directions.

And how far a row lies from all of them, where new kinds of input show. The directions are principal
components of rows on which the model was not fitted and which are not the reference: so the
reference's own figures are no better fitted than a window's, and a threshold that is calibrated on
the reference holds for windows.

Source: S. Rabanser, S. Günnemann, Z. Lipton, Failing loudly: an empirical study of methods for
detecting dataset shift, 2019: tests of single dimensions of a reduced representation, corrected for
their number, against tests of all at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMBEDDING = "embedding"
"""Begins the name of each column of an embedding."""
DIRECTIONS = 4
"""How many are watched: each more asks a little more of all columns of the one budget."""
FIT_ROWS = 1000
"""Rows that directions are found on: more of them move no leading direction by much."""
TOGETHER = f"{EMBEDDING} together"
"""Name of what is judged of all its columns at once, see `mlops.core.joint`."""
_BEYOND = " beyond the "
_COLUMN = re.compile(rf"{EMBEDDING}( \d+ of |{_BEYOND})\d+")
_NAME = re.compile(rf"{TOGETHER}|{_COLUMN.pattern}( given the rest)?")
_RANK = 1e-9  # of the largest variance; below it a direction is rounding error


@dataclass(frozen=True)
class Directions:
    """Directions of a layer of width W.

    Attributes:
        centre: float32, (W,): the mean of the rows that they were found on.
        axes: float32, (W, K): orthogonal, of length 1.
        scale: float32, (K,): standard deviation of those rows along each.
    """

    centre: NDArray[np.float32]
    axes: NDArray[np.float32]
    scale: NDArray[np.float32]


def find_directions(h_NW: NDArray[np.float32], count: int = DIRECTIONS) -> Directions | None:
    """Return the principal components of a layer's activations; nothing where it does not vary.

    Args:
        h_NW: activations of rows, at most `FIT_ROWS` of them for the cost's sake.
        count: how many components; fewer are found where the rows have fewer.
    """
    if len(h_NW) < 2 or not np.isfinite(h_NW).all():
        return None
    h = h_NW.astype(np.float64)
    centred = h - h.mean(axis=0)
    # By the rows' inner products: a layer is often wider than there are rows.
    variance, left = np.linalg.eigh(centred @ centred.T)
    variance, left = variance[::-1][:count], left[:, ::-1][:, :count]
    kept = variance > max(_RANK * variance[0], 1e-12)
    if not kept.any():
        return None
    axes = centred.T @ left[:, kept] / np.sqrt(variance[kept])
    # A direction has two signs; the one of its largest weight makes it the same on every machine.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    scale = np.sqrt(variance[kept] / len(h))
    return Directions(*(part.astype(np.float32) for part in (h.mean(axis=0), axes, scale)))


def names(width: int) -> tuple[str, ...]:
    """Return the names of an embedding's columns: `embedding 1 of 4` …, `embedding beyond the 4`.

    Args:
        width: how many columns there are: the directions, and the distance from them.
    """
    count = width - 1
    along = (f"{EMBEDDING} {n + 1} of {count}" for n in range(count))
    return (*along, f"{EMBEDDING}{_BEYOND}{count}")


def is_embedding(column: str) -> bool:
    """Say whether a column is of an embedding: by itself, given the others, or all together."""
    return bool(_NAME.fullmatch(column))


def is_column(name: str) -> bool:
    """Say whether a name is that of a column of an embedding itself."""
    return bool(_COLUMN.fullmatch(name))


def is_beyond(column: str) -> bool:
    """Say whether a column is the distance from the directions."""
    return column.startswith(f"{EMBEDDING}{_BEYOND}")
