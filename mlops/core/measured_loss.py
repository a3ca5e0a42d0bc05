"""Whether labels show a loss of accuracy beyond the margin, however often one looks.

Source: J. Shin, A. Ramdas & A. Rinaldo, E-detectors (2024): a Shiryaev-Roberts sum of bets,
R ← (R + 1)·e, alarms on average not before so many labels as the level says, whenever the loss
sets in. A bet: I. Waudby-Smith & A. Ramdas, Estimating means of bounded random variables by
betting (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STAKES = 5
"""Bets made side by side, from timid to bold: each is best for a loss of its own size."""
_LEAST_ERROR = 1e-3  # a champion that never erred would make the first error certain proof


@dataclass(frozen=True)
class Loss:
    """What the labels say.

    Attributes:
        shown: whether the loss is beyond doubt.
        after: how many labels it took to be so; None if it is not.
        labels: how many were looked at.
        recent: accuracy on those since the loss seems to have set in; None where there are none.
        words: with the figures.
    """

    shown: bool
    after: int | None
    labels: int
    recent: float | None
    words: str


def measured_loss(
    right: NDArray[np.bool_], *, reference: float, margin: float, level: float
) -> Loss:
    """Bet against `accuracy is at least reference - margin` with each label in turn.

    Args:
        right: bool (N,): whether each answer was right, the oldest first.
        reference: accuracy on the reference.
        margin: loss that matters.
        level: labels that pass, on average at least, before a false alarm.
    """
    allowed = min(max(1.0 - reference + margin, _LEAST_ERROR), 1.0 - _LEAST_ERROR)
    # Lost whole if every answer is right, a stake would end all betting: at most nine tenths of it.
    stakes = 0.9 / (1.0 - allowed) * np.arange(1, _STAKES + 1) / _STAKES
    stakes *= min(1.0, (1.0 - allowed) / allowed)
    factors = 1.0 + stakes * (~right[:, None] - allowed)
    sums, after = np.zeros(_STAKES), None
    for place, factor in enumerate(factors, 1):
        sums = (sums + 1.0) * factor
        if sums.mean() >= level:
            after = place
            break
    since = _onset(factors[:, _STAKES // 2])
    recent = float(right[since:].mean()) if len(right) else None
    words = f"{len(right)} labels show no loss beyond the margin of {margin:.1%}"
    if after and recent is not None:
        words = (
            f"accuracy {recent:.1%} on {len(right) - since} labels, {reference:.1%} on the "
            f"reference: a loss beyond the margin of {margin:.1%}, without drift of the inputs"
        )
    return Loss(after is not None, after, len(right), recent, words)


def _onset(factor: NDArray[np.float64]) -> int:
    """Return from where on the bets together gained most: the likeliest place of the change."""
    walk = np.concatenate([[0.0], np.cumsum(np.log(factor))])
    return min(int(np.argmin(walk)), max(len(factor) - 1, 0))
