"""Which predictions are worth a label: a random part that measures, a hard part that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POOL = 10  # times as many uncertain rows as are wanted, to choose unlike ones from
_DIMENSIONS = 16


def choose_hard(
    probabilities: NDArray[np.float32], features: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """Return the rows that a model learns most from: uncertain ones, unlike each other.

    The most uncertain rows by the margin between the two likeliest classes (Scheffer et al.,
    Active hidden Markov models for information extraction, 2001) form a pool; from it rows are
    taken that are farthest from those taken already (greedy k-centre; Sener and Savarese, Active
    learning for convolutional neural networks: a core-set approach, 2018).

    Args:
        probabilities: (N, K).
        features: (N, D); projected to few dimensions, the same ones every time.
        count: most rows to return.
    """
    if not len(probabilities) or count <= 0:
        return np.zeros(0, dtype=np.int64)
    ordered = np.sort(probabilities.astype(np.float64), axis=1)
    margin = ordered[:, -1] - (ordered[:, -2] if ordered.shape[1] > 1 else 0.0)
    pool = np.argsort(margin, kind="stable")[: _POOL * count]
    points = np.column_stack([_projected(features[pool]), probabilities[pool]])
    taken = [0]
    nearest = np.square(points - points[0]).sum(axis=1)
    while len(taken) < min(count, len(pool)):
        nearest[taken] = -1.0
        taken.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(points - points[taken[-1]]).sum(axis=1))
    return np.asarray(pool[taken], dtype=np.int64)


def _projected(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows in few dimensions, on a scale like that of probabilities."""
    centred = np.nan_to_num(features - features.mean(axis=0))
    axes = np.random.default_rng(0).normal(size=(features.shape[1], _DIMENSIONS))
    small = centred @ axes
    spread = np.sqrt(np.square(small).sum(axis=1).mean())
    return np.asarray(small / spread if spread > 0 else small, dtype=np.float64)
