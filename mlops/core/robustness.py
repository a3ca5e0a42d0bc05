"""Accuracy under a fixed suite of corruptions: every one of `mlops.core.corruption`, 1 to 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core import corruption
from mlops.core.intervals import Interval, bootstrap_all, wilson

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

CLEAN = 0
"""The severity of rows as they are."""


@dataclass(frozen=True)
class Cell:
    """Accuracy under one corruption.

    Attributes:
        corruption: its name.
        severity: 1 to 5, or 0 for the rows as they are.
        accuracy: with its interval.
    """

    corruption: str
    severity: int
    accuracy: Interval


@dataclass(frozen=True)
class Robustness:
    """What a model's accuracy is under the suite.

    Attributes:
        n: rows, the same in every cell.
        cells: every corruption at severities 0 to 5.
        by_severity: mean accuracy over the corruptions, at severities 0 to 5.
        mean: accuracy over all corruptions at severities 1 to 5.
    """

    n: int
    cells: tuple[Cell, ...]
    by_severity: tuple[Interval, ...]
    mean: Interval


def choose(rows: int, most: int, seed: int) -> NDArray[np.int64]:
    """Return at most so many of the row numbers, drawn at random, in order; int64 (M,)."""
    drawn = np.random.default_rng(seed).permutation(rows)[:most]
    return np.sort(drawn).astype(np.int64)


def endure(
    images_NHWC: NDArray[np.uint8],
    label_N: NDArray[np.int64],
    key_N: NDArray[np.uint64],
    answer: Answer,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Robustness:
    """Score rows under every corruption at every severity.

    Cells have Wilson's interval if all rows stand alone, else the bootstrap's over keys, as means
    over cells always have: the cells share their rows, and are resampled together.

    Args:
        images_NHWC: uint8, N ≥ 1.
        label_N: int64.
        key_N: uint64, equal for rows that resemble each other.
        answer: from uint8 (M, H, W, C) to probabilities, float32 (M, K).
        confidence: coverage of the intervals.
        resamples: of the bootstrap.
        seed: of the corruptions and the bootstrap; equal seeds give equal suites.
    """
    clean = answer(images_NHWC).argmax(axis=1) == label_N
    right_NSC = np.empty((len(label_N), 1 + len(corruption.SEVERITIES), len(corruption.NAMES)))
    right_NSC[:, CLEAN, :] = clean[:, None]
    for c, name in enumerate(corruption.NAMES):
        for severity in corruption.SEVERITIES:
            # A generator for each cell: adding a corruption changes none of the others.
            rng = np.random.default_rng([seed, severity, *name.encode()])
            changed = corruption.corrupt(images_NHWC, name, severity, rng)
            right_NSC[:, severity, c] = answer(changed).argmax(axis=1) == label_N
    n, severities, count = right_NSC.shape
    alone = len(np.unique(key_N)) == n
    columns = [right_NSC.mean(axis=2), right_NSC[:, 1:].mean(axis=(1, 2))[:, None]]
    if not alone:
        columns.append(right_NSC.reshape(n, -1))
    value_NM = np.concatenate(columns, axis=1)
    found = bootstrap_all(
        lambda counts: counts @ value_NM / counts.sum(), n, confidence=confidence,
        resamples=resamples, seed=seed, groups=None if alone else key_N,
    )  # fmt: skip
    cells = []
    for place in range(severities * count):
        severity, c = divmod(place, count)
        hits = int(right_NSC[:, severity, c].sum())
        known = wilson(hits, n, confidence) if alone else found[severities + 1 + place]
        cells.append(Cell(corruption.NAMES[c], severity, known))
    return Robustness(n, tuple(cells), found[:severities], found[severities])
