"""Which answers are worth showing: the surest mistakes, each beside a right answer like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOBODY = -1
"""Stands in a pair for the answer that there is none of."""


def surest_mistakes(
    label_N: NDArray[np.int64], probability_NK: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return the rows that were answered wrongly, the surest first; int64 (M,)."""
    guess, confidence = probability_NK.argmax(axis=1), probability_NK.max(axis=1)
    wrong = np.flatnonzero(guess != label_N)
    return wrong[np.argsort(-confidence[wrong], kind="stable")].astype(np.int64)


def pairs(
    label_N: NDArray[np.int64], probability_NK: NDArray[np.float32], most: int
) -> tuple[tuple[int, int], ...]:
    """Return rows as (mistake, right answer), at most so many pairs.

    The right answer is the surest one of the class that the mistake was taken for: what the
    model looks for there, beside where it thought to see it. With too few mistakes the pairs go
    on with right answers of further classes.
    """
    guess = probability_NK.argmax(axis=1)
    right = np.flatnonzero(guess == label_N)
    by_confidence = right[np.argsort(-probability_NK.max(axis=1)[right], kind="stable")]
    waiting = [int(row) for row in by_confidence]
    out: list[tuple[int, int]] = []
    for row in surest_mistakes(label_N, probability_NK)[:most]:
        match = next((r for r in waiting if label_N[r] == guess[row]), NOBODY)
        if match != NOBODY:
            waiting.remove(match)
        out.append((int(row), match))
    shown = {int(guess[row]) for row, _ in out}
    for r in waiting:
        if len(out) >= most:
            break
        if int(label_N[r]) not in shown:
            shown.add(int(label_N[r]))
            out.append((NOBODY, r))
    return tuple(out)
