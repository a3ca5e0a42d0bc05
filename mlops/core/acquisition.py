"""Which predictions are worth a label: a random part that measures, a hard part that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POOL = 10  # times as many uncertain rows as are wanted, to choose unlike ones from
_DIMENSIONS = 16


def choose_hard(
    answers: NDArray[np.float32], features: NDArray[np.float64], count: int, *, regression: bool
) -> NDArray[np.int64]:
    """Return the rows that a model learns most from: uncertain ones, unlike each other.

    The most uncertain rows form a pool: of classes by the margin between the two likeliest
    (Scheffer et al., Active hidden Markov models for information extraction, 2001), of a regression
    by the width between the outer quantiles. From it rows are taken that are farthest from those
    taken already (greedy k-centre; Sener and Savarese, Active learning for convolutional neural
    networks: a core-set approach, 2018).

    Args:
        answers: (N, K), sound: probabilities, or ascending quantiles in the target's unit.
        features: (N, D); projected to few dimensions, the same ones every time.
        count: most rows to return.
        regression: whether the answers are quantiles.
    """
    if not len(answers) or count <= 0:
        return np.zeros(0, dtype=np.int64)
    exact = answers.astype(np.float64)
    pool = np.argsort(-_doubt(exact, regression=regression), kind="stable")[: _POOL * count]
    said = _on_one_scale(exact[pool]) if regression else exact[pool]
    points = np.column_stack([_projected(features[pool]), said])
    taken = [0]
    nearest = np.square(points - points[0]).sum(axis=1)
    while len(taken) < min(count, len(pool)):
        nearest[taken] = -1.0
        taken.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(points - points[taken[-1]]).sum(axis=1))
    return np.asarray(pool[taken], dtype=np.int64)


def _doubt(answers: NDArray[np.float64], *, regression: bool) -> NDArray[np.float64]:
    """Return what is larger the less sure a model was, (N,)."""
    if regression:
        return np.asarray(answers[:, -1] - answers[:, 0])
    ordered = np.sort(answers, axis=1)
    return np.asarray((ordered[:, -2] if ordered.shape[1] > 1 else 0.0) - ordered[:, -1])


def _projected(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows in few dimensions, on a scale like that of probabilities."""
    axes = np.random.default_rng(0).normal(size=(features.shape[1], _DIMENSIONS))
    return _on_one_scale(np.nan_to_num(features - features.mean(axis=0)) @ axes)


def _on_one_scale(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points about their mean, whose distance from it is 1 (root mean square)."""
    centred = points - points.mean(axis=0)
    spread = np.sqrt(np.square(centred).sum(axis=1).mean())
    return np.asarray(centred / spread if spread > 0 else centred, dtype=np.float64)
