"""What a model is worth under a fixed suite of disturbances: `mlops.core.disturbance`, 1 to 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.corruption import SEVERITIES
from mlops.core.disturbance import disturb, names
from mlops.core.intervals import Interval, bootstrap_all, wilson

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.core.schema import Schema

    Answer = Callable[[NDArray[Any]], NDArray[np.float32]]

CLEAN = 0
"""The severity of rows as they are."""


@dataclass(frozen=True)
class Cell:
    """What the model is worth under one corruption.

    Attributes:
        corruption: its name.
        severity: 1 to 5, or 0 for the rows as they are.
        score: accuracy, or of a regression the mean absolute error, with its interval.
    """

    corruption: str
    severity: int
    score: Interval


@dataclass(frozen=True)
class Robustness:
    """What a model is worth under the suite.

    Attributes:
        measure: of every score: `accuracy`, or `mae` of a regression.
        n: rows, the same in every cell.
        cells: every corruption at severities 0 to 5.
        by_severity: mean score over the corruptions, at severities 0 to 5.
        mean: score over all corruptions at severities 1 to 5.
    """

    measure: str
    n: int
    cells: tuple[Cell, ...]
    by_severity: tuple[Interval, ...]
    mean: Interval


def choose(rows: int, most: int, seed: int) -> NDArray[np.int64]:
    """Return at most so many of the row numbers, drawn at random, in order; int64 (M,)."""
    drawn = np.random.default_rng(seed).permutation(rows)[:most]
    return np.sort(drawn).astype(np.int64)


def endure(
    features: NDArray[Any],
    label_N: NDArray[Any],
    key_N: NDArray[np.uint64],
    schema: Schema,
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
        features: (N, *shape) of the schema, N ≥ 1.
        label_N: int64; of a regression float64.
        key_N: uint64, equal for rows that resemble each other.
        schema: of the examples.
        answer: from features (M, *shape) to answers, float32 (M, K).
        confidence: coverage of the intervals.
        resamples: of the bootstrap.
        seed: of the corruptions and the bootstrap; equal seeds give equal suites.
    """
    known = names(schema)
    score_NSC = np.empty((len(label_N), 1 + len(SEVERITIES), len(known)))
    score_NSC[:, CLEAN, :] = _scores(answer(features), label_N, schema)[:, None]
    for c, name in enumerate(known):
        for severity in SEVERITIES:
            # A generator for each cell: adding a corruption changes none of the others.
            rng = np.random.default_rng([seed, severity, *name.encode()])
            changed = disturb(features, schema, name, severity, rng)
            score_NSC[:, severity, c] = _scores(answer(changed), label_N, schema)
    n, severities, count = score_NSC.shape
    # Only shares of independent rows have Wilson's interval.
    shares = bool(schema.classes) and len(np.unique(key_N)) == n
    columns = [score_NSC.mean(axis=2), score_NSC[:, 1:].mean(axis=(1, 2))[:, None]]
    if not shares:
        columns.append(score_NSC.reshape(n, -1))
    value_NM = np.concatenate(columns, axis=1)
    found = bootstrap_all(
        lambda counts: counts @ value_NM / counts.sum(), n, confidence=confidence,
        resamples=resamples, seed=seed, groups=None if shares else key_N,
    )  # fmt: skip
    cells = []
    for place in range(severities * count):
        severity, c = divmod(place, count)
        if shares:
            one = wilson(int(score_NSC[:, severity, c].sum()), n, confidence)
        else:
            one = found[severities + 1 + place]
        cells.append(Cell(known[c], severity, one))
    measure = "accuracy" if schema.classes else "mae"
    return Robustness(measure, n, tuple(cells), found[:severities], found[severities])


def _scores(
    answers: NDArray[np.float32], label_N: NDArray[Any], schema: Schema
) -> NDArray[np.float64]:
    """Return 1 for a right class, else 0; of a regression the absolute error."""
    if schema.classes:
        return np.asarray(answers.argmax(axis=1) == label_N, dtype=np.float64)
    return np.asarray(np.abs(answers[:, answers.shape[1] // 2] - label_N))
