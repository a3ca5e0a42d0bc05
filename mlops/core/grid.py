"""A reference on a grid of its quantiles, so that a pseudo-window costs counts and no sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.core.drift import jensenshannon_rows
from mlops.core.joint import learn_joint

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
        self._weights = np.empty((self._numeric, _CELLS))
        for d, (edge, value) in enumerate(zip(edges, values, strict=True)):
            cell = np.searchsorted(edge, value, "left")
            coded[:, d] = cell + d * _CELLS
            self._weights[d] = _weights(edge, value, cell) / norm[d]
        coded[:, self._numeric] = rows.predicted + self._cut
        self._width = self._cut + rows.classes
        # A column of names is counted by name as well, and judged by that.
        self._named: list[tuple[int, int, int]] = []
        for d in rows.named_at:
            code = rows.values[:, d].astype(np.int64)
            code -= code.min()
            self._named.append((d, self._width, self._width + int(code.max()) + 1))
            coded = np.column_stack([coded, code + self._width])
            self._width = self._named[-1][2]
        self._coded = coded
        joint = learn_joint(rows)
        # An embedding that never varies lies at its mean, always.
        self._together = joint.rows(rows.values) if joint else np.zeros((len(rows), 1))
        self._embedded = bool(rows.embedded_at)

    def counts(self, rows_BN: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return shares per cell of each drawn batch, and what stands for an embedding as one.

        float64, (B, width): the last are the means of the batch's rows in the joint's directions.
        """
        batches, size = rows_BN.shape
        cells = self._coded[rows_BN]
        cells += (np.arange(batches) * self._width)[:, None, None]
        flat = np.bincount(cells.ravel(), minlength=batches * self._width)
        table: NDArray[np.float64] = flat.reshape(batches, self._width) / size
        if not self._embedded:
            return table
        return np.concatenate([table, self._together[rows_BN].mean(axis=1)], axis=1)

    def batches(self, size: int) -> int:
        """Return how many batches of so many rows may be counted at once."""
        return max(1, _BATCH_CELLS // max(size * self._coded.shape[1], self._width))

    def statistics(
        self, base: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the statistics of batches against one base, in the order of `all_names`."""
        gap = (rows[:, : self._cut] - base[:, : self._cut]).reshape(-1, self._numeric, _CELLS)
        np.cumsum(gap, axis=2, out=gap)
        np.abs(gap, out=gap)
        numeric = np.einsum("bdg,dg->bd", gap, self._weights)
        for d, start, stop in self._named:
            numeric[:, d] = jensenshannon_rows(base[0, start:stop], rows[:, start:stop])
        end = self._cut + self._classes
        predicted = jensenshannon_rows(base[0, self._cut : end], rows[:, self._cut : end])
        if not self._embedded:
            return np.column_stack([numeric, predicted])
        moved = rows[:, self._width :] - base[:, self._width :]
        return np.column_stack([numeric, np.linalg.norm(moved, axis=1), predicted])

    def expected(self, base: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ∫ √(2 F (1 - F) / π) of each numeric column of a base, (1, width); float64, (D,).

        The mean of √(nN / (n + N)) times the distance of clean rows, as n and N grow: the
        difference of two empirical distribution functions is a Brownian bridge.
        """
        share = base[0, : self._cut].reshape(self._numeric, _CELLS).cumsum(axis=1)
        spread = np.sqrt(np.maximum(share * (1 - share), 0.0) * 2 / np.pi)
        found = np.asarray((spread * self._weights).sum(axis=1))
        found[[d for d, _, _ in self._named]] = 1.0  # Jensen-Shannon needs no scale
        return found


def _weights(
    edge: NDArray[np.float64], value: NDArray[np.float64], cell: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what a distribution function at each edge weighs in its integral; float64, (cells,).

    Between two edges it rises as the world's own values there do: where they lie evenly that is the
    trapezoid rule; where they all are the upper edge it stays as it was until there, as that of a
    column of few values does.

    Args:
        edge: ascending, (cells,).
        value: of the world's rows.
        cell: of each the first edge that is no less.
    """
    width = np.diff(edge)
    counts = np.bincount(cell, minlength=len(edge))[1:]
    missing = np.bincount(cell, weights=edge[cell] - value, minlength=len(edge))[1:]
    # How much of a cell's width the function has risen for, on average over the cell.
    risen = missing / np.maximum(counts, 1)
    found = np.zeros(len(edge))
    found[:-1] += width - risen
    found[1:] += risen
    return found
