"""Rows that belong to entities: whole entities are what is independent, and what is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Entities:
    """Which rows belong together.

    Attributes:
        rows: int64, (N,): row indices, those of an entity beside each other.
        starts: int64, (G,): where each entity begins in `rows`.
        sizes: int64, (G,): how many rows each has.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of entities."""
        return len(self.sizes)

    def draw(self, rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
        """Draw whole entities, with replacement, until they have so many rows.

        The cluster bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
        section 3.8); the last entity drawn is cut short.

        Args:
            rng: source of chance.
            rows: wanted.

        Returns:
            int64, (rows,): row indices.
        """
        mean = len(self.rows) / len(self)
        drawn = np.zeros(0, np.int64)
        while self.sizes[drawn].sum() < rows:
            missing = rows - int(self.sizes[drawn].sum())
            more = rng.integers(len(self), size=int(missing / mean) + 1)
            drawn = np.concatenate([drawn, more])
        return self._rows_of(drawn)[:rows]

    def some(self, rows: int) -> tuple[NDArray[np.int64], Entities]:
        """Return whole entities with so many rows at most, but one entity at least.

        Returns:
            int64: their rows; and the entities of these rows, numbered anew.
        """
        count = max(int(np.searchsorted(np.cumsum(self.sizes), rows, "right")), 1)
        sizes = self.sizes[:count]
        taken = self._rows_of(np.arange(count))
        return taken, Entities(np.arange(len(taken)), np.cumsum(sizes) - sizes, sizes)

    def _rows_of(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        sizes = self.sizes[chosen]
        begins = np.cumsum(sizes) - sizes
        within = np.arange(sizes.sum()) - np.repeat(begins, sizes)
        found: NDArray[np.int64] = self.rows[np.repeat(self.starts[chosen], sizes) + within]
        return found


def group(key: NDArray[np.uint64]) -> Entities:
    """Put rows of the same key together; in the order of the keys, which are hashes: by chance.

    Args:
        key: uint64, (N,), N > 0.
    """
    rows = np.argsort(key, kind="stable")
    _, starts, sizes = np.unique(key[rows], return_index=True, return_counts=True)
    return Entities(rows, starts, sizes)


def beyond_blocks(values: NDArray[np.float64], key: NDArray[np.uint64], block: int) -> float:
    """Return by how much entities widen a mean's variance beyond what blocks of time show; ≥ 1.

    Of the column where it is most. Entities that come back block after block are dependence that
    no block holds: the variance clustered both ways over that of blocks (Cameron, Gelbach, Miller,
    Robust inference with multiway clustering, Journal of Business & Economic Statistics 29, 2011).

    Args:
        values: float64, (N, D), in the order of time, N > 0.
        key: uint64, (N,): equal for rows of one entity.
        block: rows that stay together.
    """
    about = values - values.mean(axis=0)
    own = np.unique(key, return_inverse=True)[1]
    stretch = np.arange(len(values)) // block
    both = own * (int(stretch.max()) + 1) + stretch
    blocks = _squares(about, stretch)
    more = _squares(about, own) - _squares(about, both)
    ratio = 1.0 + np.divide(more, blocks, out=np.zeros_like(more), where=blocks > 0)
    return float(max(ratio.max(initial=1.0), 1.0))


def _squares(about: NDArray[np.float64], place: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of the squared totals of sets of rows, (D,)."""
    order = np.argsort(place, kind="stable")
    starts = np.unique(place[order], return_index=True)[1]
    squares: NDArray[np.float64] = (np.add.reduceat(about[order], starts, axis=0) ** 2).sum(axis=0)
    return squares
