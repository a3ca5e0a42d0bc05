"""Clean streams of windows, drawn from a reference, each with a pseudo-reference of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.dependence import draw
from mlops.core.drift import norms
from mlops.core.entities import beyond_blocks, group
from mlops.core.grid import Grid
from mlops.core.thresholds import spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.columns import Columns
    from mlops.core.entities import Entities

_MOST_ROWS = 200  # a pseudo-window's; larger ones are drawn at this size and scaled
_WORLD_ROWS = 4000  # of the reference that are resampled; its own rows beyond add nothing


@dataclass(frozen=True)
class Alike:
    """Which rows of a reference depend on each other.

    Attributes:
        block: rows in a row that stay together; 1 if time tells nothing.
        entities: whole ones make up a pseudo-reference, where time tells nothing; None if each
            row is one.
        shrunk: where time tells, a pseudo-reference has so many times fewer rows: it errs as the
            true one does, whose entities come back in many blocks. 1 without such.
    """

    block: int
    entities: Entities | None
    shrunk: float = 1.0


@dataclass(frozen=True)
class Shape:
    """How much is drawn.

    Attributes:
        streams: S, each with a pseudo-reference of its own.
        length: T, windows of a stream.
        window_rows: of a true window.
    """

    streams: int
    length: int
    window_rows: int


def alike(block: int, key: NDArray[np.uint64] | None, values: NDArray[np.float64]) -> Alike:
    """Return which rows depend on each other.

    Args:
        block: rows that depend on their neighbours in time.
        key: uint64, (N,): equal for rows of one entity; None if each row is one of its own.
        values: float64, (N, D), in the order of time if that tells anything.
    """
    found = None if key is None else group(key)
    if key is None or found is None or found.sizes.max() == 1:
        return Alike(block, None)
    return Alike(block, found, beyond_blocks(values, key, block) if block > 1 else 1.0)


def draw_streams(
    reference: Columns, shape: Shape, together: Alike, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw clean streams; return their scaled statistics, (S, T, columns), and the columns' scale.

    A statistic of a true window is its scaled statistic times the scale. Pseudo-references are
    drawn by whole entities, or in blocks where time tells, with fewer of them where entities come
    back; windows by rows or blocks: rows of an entity come far apart.
    """
    world, entities = _world(reference, together)
    n, big = len(reference), shape.window_rows
    window_n = max(2, min(big, _MOST_ROWS))
    reference_n = max(2, round(n * window_n / big))
    grid = Grid(world, norms(reference))
    everything = grid.expected(grid.counts(np.arange(len(world))[np.newaxis]))
    # The smaller pseudo-reference misses its scale by more than the true one does.
    damp = math.sqrt(min(1.0, reference_n / len(world)))
    out = np.empty((shape.streams, shape.length, len(reference.all_names)))
    at_once = grid.batches(window_n)
    for s in range(shape.streams):
        if entities:
            own_rows = entities.draw(rng, reference_n)[np.newaxis]
        else:
            own_n = max(2, round(reference_n / together.shrunk))
            own_rows = draw(rng, len(world), (1, own_n), together.block)
        base = grid.counts(own_rows)
        rows = draw(rng, len(world), (1, shape.length * window_n), together.block)
        rows = rows.reshape(shape.length, window_n)
        for start in range(0, shape.length, at_once):
            part = grid.counts(rows[start : start + at_once])
            out[s, start : start + at_once] = grid.statistics(base, part)
        own = grid.expected(base) / np.maximum(everything, 1e-300)
        out[s, :, : len(own)] /= np.maximum(own, 1e-3) ** damp
    out /= spread(reference_n, window_n)
    return out, np.full(out.shape[2], spread(n, big))


def _world(reference: Columns, together: Alike) -> tuple[Columns, Entities | None]:
    """Return at most so many rows of a reference, blocks and entities left whole."""
    n, block = len(reference), together.block
    entities = together.entities if block == 1 else None
    if n <= _WORLD_ROWS:
        return reference, entities
    if entities:
        chosen, kept = entities.some(_WORLD_ROWS)
        return reference.take(chosen), kept
    starts = np.linspace(0, n - block, max(_WORLD_ROWS // block, 1)).astype(np.int64)
    return reference.take((starts[:, np.newaxis] + np.arange(block)).ravel()), None
