"""A reference on a grid of its quantiles, so that a pseudo-window costs counts and no sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.core.drift import jensenshannon_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.columns import Columns

_CELLS = 64
_SMALLEST_NORM = 0.001  # Evidently's floor under the standard deviation
_BATCH_CELLS = 1 << 22  # of the table of counts that is held at once


class Grid:
    """Columns of a world of rows, each cut at quantiles that crowd at its tails.

    Args:
        rows: the world.
        norm: float64, (D,): what the reference's distances are divided by.
    """

    def __init__(self, rows: Columns, norm: NDArray[np.float64]) -> None:
        values = rows.values.T
        points = (1 - np.cos(np.linspace(0, np.pi, _CELLS))) / 2
        ordered = np.sort(values, axis=1)
        at = np.minimum((points * len(rows)).astype(np.int64), len(rows) - 1)
        edges = ordered[:, at]
        self._numeric, self._classes = len(values), rows.classes
        self._cut = self._numeric * _CELLS
        coded = np.empty((len(rows), self._numeric + 1), dtype=np.int64)
        for d, (edge, value) in enumerate(zip(edges, values, strict=True)):
            coded[:, d] = np.searchsorted(edge, value, "left") + d * _CELLS
        coded[:, self._numeric] = rows.predicted + self._cut
        self._coded = coded
        self._width = self._cut + rows.classes
        self._steps = np.diff(edges, axis=1) / norm[:, np.newaxis]

    def counts(self, rows_BN: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return shares per cell of each drawn batch; float64, (B, width)."""
        batches, size = rows_BN.shape
        cells = self._coded[rows_BN]
        cells += (np.arange(batches) * self._width)[:, None, None]
        flat = np.bincount(cells.ravel(), minlength=batches * self._width)
        table: NDArray[np.float64] = flat.reshape(batches, self._width) / size
        return table

    def batches(self, size: int) -> int:
        """Return how many batches of so many rows may be counted at once."""
        return max(1, _BATCH_CELLS // max(size * (self._numeric + 1), self._width))

    def statistics(
        self, base: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the statistics of batches against one base; float64, (B, D + 1)."""
        gap = (rows[:, : self._cut] - base[:, : self._cut]).reshape(-1, self._numeric, _CELLS)
        np.cumsum(gap, axis=2, out=gap)
        np.abs(gap, out=gap)
        numeric = np.einsum("bdg,dg->bd", gap, self._weights())
        return np.column_stack([
            numeric, jensenshannon_rows(base[0, self._cut :], rows[:, self._cut :])
        ])  # fmt: skip

    def expected(self, base: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ∫ √(2 F (1 - F) / π) of each numeric column of a base, (1, width); float64, (D,).

        The mean of √(nN / (n + N)) times the distance of clean rows, as n and N grow: the
        difference of two empirical distribution functions is a Brownian bridge.
        """
        share = base[0, : self._cut].reshape(self._numeric, _CELLS).cumsum(axis=1)
        spread = np.sqrt(np.maximum(share * (1 - share), 0.0) * 2 / np.pi)
        return np.asarray((spread * self._weights()).sum(axis=1))

    def _weights(self) -> NDArray[np.float64]:
        """Return the trapezoid rule's weights; float64, (D, cells)."""
        weights = np.zeros((self._numeric, _CELLS))
        weights[:, :-1] += self._steps / 2
        weights[:, 1:] += self._steps / 2
        return weights
