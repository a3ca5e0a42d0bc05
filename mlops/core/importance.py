"""What a model's answers rest on, seen from outside: nothing but its answers is known.

Sources:
    L. Breiman (2001), Random forests; A. Fisher, C. Rudin, F. Dominici (2019), All models are
        wrong, but many are useful: permutation importance as the rise of the loss.
    E. Štrumbelj, I. Kononenko (2014), Explaining prediction models and individual predictions with
        feature contributions: Shapley values by sampling orders and rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.intervals import bootstrap_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.core.intervals import Interval

    Answer = Callable[[NDArray[Any]], NDArray[np.float32]]
    Loss = Callable[[NDArray[Any], NDArray[np.float32]], NDArray[np.float64]]

REPEATS = 5
ORDERS = 24
"""Orders of the columns that a Shapley value is the mean of; each in both directions, which
cancels much of the sampling error."""


@dataclass(frozen=True)
class Importance:
    """How much worse the answers get when a column is shuffled.

    Attributes:
        name: of the column.
        rise: of the mean loss, with its interval over rows.
    """

    name: str
    rise: Interval


def permuted(  # noqa: PLR0917 - rows come with their labels and keys
    row_ND: NDArray[np.float64],
    label_N: NDArray[Any],
    key_N: NDArray[np.uint64],
    names: tuple[str, ...],
    answer: Answer,
    loss: Loss,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[Importance, ...]:
    """Return the permutation importance of every column, the largest first.

    Args:
        row_ND: held-out rows.
        label_N: their labels.
        key_N: equal for rows that resemble each other, which are resampled together.
        names: of the D columns.
        answer: from rows (M, D) to answers.
        loss: from labels and answers to the loss of each row.
        confidence: coverage of the intervals.
        resamples: of the bootstrap.
        seed: of shuffling and bootstrap.
    """
    base_N = loss(label_N, answer(row_ND))
    rise_ND = np.zeros(row_ND.shape)
    rng = np.random.default_rng(seed)
    for c in range(row_ND.shape[1]):
        for _ in range(REPEATS):
            shuffled = row_ND.copy()
            shuffled[:, c] = rng.permutation(row_ND[:, c])
            rise_ND[:, c] += (loss(label_N, answer(shuffled)) - base_N) / REPEATS
    found = bootstrap_all(
        lambda counts: counts @ rise_ND / counts.sum(), len(row_ND), confidence=confidence,
        resamples=resamples, seed=seed, groups=key_N,
    )  # fmt: skip
    out = [Importance(name, rise) for name, rise in zip(names, found, strict=True)]
    return tuple(sorted(out, key=lambda one: -one.rise.value))


def shapley(
    row_ND: NDArray[np.float64],
    background_BD: NDArray[np.float64],
    value: Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]],
    *,
    seed: int,
) -> NDArray[np.float64]:
    """Return what each column adds to each row's value against other rows; float64 (N, D).

    Along each order, column after column is taken over from the row into one drawn from the
    background; the steps add up to the difference of both values. So a row's attributions add up
    to its value minus the mean value of the rows that it was compared with.

    Args:
        row_ND: rows to explain.
        background_BD: rows to compare with.
        value: from rows (M, D) and the numbers of the explained rows (M,) to what is explained.
        seed: of orders and drawn rows.
    """
    rng = np.random.default_rng(seed)
    n, d = row_ND.shape
    total_ND = np.zeros((n, d))
    numbers = np.arange(n)
    for _ in range(ORDERS):
        order = rng.permutation(d)
        other_ND = background_BD[rng.integers(len(background_BD), size=n)]
        for way in (order, order[::-1]):
            mixed_ND = other_ND.copy()
            before_N = value(mixed_ND, numbers)
            for c in way:
                mixed_ND[:, c] = row_ND[:, c]
                after_N = value(mixed_ND, numbers)
                total_ND[:, c] += after_N - before_N
                before_N = after_N
    return total_ND / (2 * ORDERS)


@dataclass(frozen=True)
class Token:
    """A word of a text, and by how much the answer's value falls without it."""

    text: str
    effect: float
