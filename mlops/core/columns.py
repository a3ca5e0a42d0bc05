"""The monitored columns of a batch: what its images look like and what the model said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.schema import ImageSchema, TableSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import Schema

PREDICTED = "predicted"
"""Name of the one categorical column: the predicted class."""

_IMAGE = ("brightness", "contrast", "sharpness", "noise", "coverage", "slant")
_COLOUR = ("saturation",)  # of images with three channels
_PREDICTION = ("confidence", "entropy")
_TINY = 1e-12
_CHUNK_ROWS = 4096  # bounds the memory of the float copies of the images


@dataclass(frozen=True)
class Columns:
    """Monitored columns of N rows.

    Attributes:
        names: the D numeric columns.
        values: float64, (N, D), finite.
        predicted: int64, (N,): index of the most probable class.
        classes: number of classes, K.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    predicted: NDArray[np.int64]
    classes: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.predicted)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The numeric columns, then the categorical one."""
        return (*self.names, PREDICTED)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Columns:
        """Return the rows that an index, a mask or a slice selects."""
        return Columns(self.names, self.values[index], self.predicted[index], self.classes)


def columns(images_NHWC: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> Columns:
    """Compute the monitored columns of a batch.

    Of the image, in units of full scale [0, 1] on its grey version: `brightness` (mean),
    `contrast` (standard deviation), `sharpness` (mean absolute difference of neighbours),
    `noise` (standard deviation of the noise: Immerkær, Fast noise variance estimation, 1996),
    `coverage` (share of pixels above half), `slant` (the diagonal part of the structure tensor,
    in [-1, 1]: it moves when images are rotated), and with three channels `saturation`.
    Of the prediction: `confidence` (largest probability), `entropy` (nats).

    Args:
        images_NHWC: uint8, (N, H, W, C).
        probabilities: (N, K), finite.
    """
    names, values = looks(images_NHWC)
    p = np.asarray(probabilities, dtype=np.float64)
    entropy = -(p * np.log(np.maximum(p, _TINY))).sum(axis=1)
    prediction = np.column_stack([p.max(axis=1, initial=0.0), entropy])
    return Columns(
        names=(*names, *_PREDICTION),
        values=np.column_stack([values, prediction]),
        predicted=p.argmax(axis=1).astype(np.int64),
        classes=p.shape[1],
    )


def look_names(schema: Schema | None) -> tuple[str, ...]:
    """Return the names of the columns that slice rows of a schema; of images if unknown."""
    if isinstance(schema, TableSchema):
        return tuple(column.name for column in schema.columns)
    channels = schema.channels if isinstance(schema, ImageSchema) else 1
    return (*_IMAGE, *_COLOUR) if channels == len("RGB") else _IMAGE


def looks(images_NHWC: NDArray[np.uint8]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return what images look like, whatever a model says: the first of `columns`, and their names.

    Args:
        images_NHWC: uint8, (N, H, W, C).

    Returns:
        The names of D columns, and float64 (N, D).
    """
    parts = [
        _image_columns(images_NHWC[start : start + _CHUNK_ROWS])
        for start in range(0, max(len(images_NHWC), 1), _CHUNK_ROWS)
    ]
    colour = _COLOUR if images_NHWC.shape[-1] == 3 else ()
    return (*_IMAGE, *colour), np.concatenate(parts)


def blank(images_NHWC: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say of each image of (N, H, W, C) whether all its pixels are equal; bool (N,)."""
    flat = images_NHWC.reshape(len(images_NHWC), -1)
    mask: NDArray[np.bool_] = (flat == flat[:, :1]).all(axis=1)
    return mask


def _image_columns(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    colour = images_NHWC.astype(np.float64) / 255.0
    x_NHW = colour.mean(axis=3)
    across, down = np.diff(x_NHW, axis=2), np.diff(x_NHW, axis=1)
    # An image of one row or column has no neighbours that way: a sum over none, over 1.
    steps = [np.abs(d).sum(axis=(1, 2)) / max(d.shape[1] * d.shape[2], 1) for d in (across, down)]
    table = [
        x_NHW.mean(axis=(1, 2)),
        x_NHW.std(axis=(1, 2)),
        (steps[0] + steps[1]) / 2,
        _noise(x_NHW),
        (x_NHW > 0.5).mean(axis=(1, 2)),
        _slant(across[:, :-1], down[:, :, :-1]),
    ]
    if colour.shape[3] == 3:
        high, low = colour.max(axis=3), colour.min(axis=3)
        table.append(((high - low) / np.maximum(high, _TINY)).mean(axis=(1, 2)))
    return np.column_stack(table)


def _noise(x_NHW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Immerkær's estimate of σ: the mask is blind to edges and slopes."""
    padded = np.pad(x_NHW, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] - 2 * padded[:, 1:-1] + padded[:, 2:]
    mask = rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:]
    mean: NDArray[np.float64] = np.abs(mask).mean(axis=(1, 2)) * (np.sqrt(np.pi / 2) / 6)
    return mean


def _slant(gx: NDArray[np.float64], gy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 2Σgx·gy / Σ(gx² + gy²): the sine of twice the dominant gradient's angle."""
    energy = (gx * gx + gy * gy).sum(axis=(1, 2))
    slant: NDArray[np.float64] = 2 * (gx * gy).sum(axis=(1, 2)) / np.maximum(energy, _TINY)
    return slant
