"""What pictures look like, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TINY = 1e-12


def picture_columns(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what images look like, in the order that `mlops.core.columns.looks` tells.

    Args:
        images_NHWC: of one or three channels.
    """
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
