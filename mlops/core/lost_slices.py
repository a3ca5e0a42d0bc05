"""Which part of the rows lost more than the others: where labels show a loss of accuracy.

A part that was always weak has lost nothing, and where all lost alike no part is to blame. So what
is tested is the difference of two differences: what a part lost since the reference, less what
the other rows lost. The clearest part is taken, its rows are left out, and the rest is asked again:
else one cause would be named once for every column that goes with it.

Source of the intervals' pull: Agresti and Caffo, Simple and effective confidence intervals for
proportions and differences of proportions result from adding two successes and two failures, 2000.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from mlops.core.paired import holm
from mlops.core.slices import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlops.core.slices import Part

_ALPHA = 0.05  # of all looks at an incident together
_LEAST = 20  # labels inside and outside from which a part is asked for
_MOST = 3


@dataclass(frozen=True)
class Side:
    """Labelled rows, independent of each other.

    Attributes:
        right: bool (N,): whether each was answered rightly.
        parts: of these rows, with masks of (N,).
    """

    right: NDArray[np.bool_]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class LostSlice:
    """A part that lost more than the others, and what they lost.

    Attributes:
        name: the part's property, or a column.
        value: its value.
        limits: what that means for a column; empty for others.
        before: share of right answers on the reference's rows of the part; None without such.
        now: the same now.
        labels: that this was measured on.
        others_before: share of right answers on the reference's other rows.
        others_now: the same now.
        adjusted_p: one-sided p-value of `it lost no more than the others`, after Holm over all
            parts that were asked.
    """

    name: str
    value: str
    limits: str
    before: float | None
    now: float
    labels: int
    others_before: float
    others_now: float
    adjusted_p: float

    def __str__(self) -> str:
        """Write it as `class bag: 91.0% to 52.1% (71 labels); the others 96.1% to 95.3%`."""
        limits = f" ({self.limits})" if self.limits else ""
        others = f"the others {self.others_before:.1%} to {self.others_now:.1%}"
        told = f"{self.now:.1%}, and the reference has hardly such rows"
        if self.before is not None:
            told = f"{self.before:.1%} to {self.now:.1%}"
        return f"{self.name} {self.value}{limits}: {told} ({self.labels} labels); {others}"


@dataclass(frozen=True)
class _Shares:
    """Right answers and labels inside a part and outside it."""

    right: int
    labels: int
    others_right: int
    others: int


def level(look: int) -> float:
    """Return the level of the first look, the second, and so on: all of them together have .05.

    Their share falls with the square, which adds up to π² / 6.
    """
    return _ALPHA * 6.0 / (math.pi * look) ** 2


def find_lost(reference: Side, current: Side, alpha: float = _ALPHA) -> tuple[LostSlice, ...]:
    """Return the parts that lost more than the others, the clearest first; at most three.

    Args:
        reference: labelled rows that the model was not fitted on.
        current: labelled rows of a random sample since.
        alpha: level of this look.
    """
    before = {(p.name, p.value): p for p in reference.parts}
    asked = [(before.get((p.name, p.value)), p) for p in current.parts if p.name != EVERYTHING]
    left_R = np.ones(len(reference.right), dtype=bool)
    left_C = np.ones(len(current.right), dtype=bool)
    found: list[LostSlice] = []
    while len(found) < _MOST:
        tested = list(_tested(asked, (reference.right, left_R), (current.right, left_C)))
        if not tested:
            break
        adjusted = holm([p for p, *_ in tested])
        best = int(np.argmin(adjusted))
        if adjusted[best] >= alpha:
            break
        _, then, part, old, new = tested[best]
        found.append(LostSlice(
            part.name, part.value, part.limits,
            before=old.right / old.labels if old.labels >= _LEAST else None,
            now=new.right / new.labels, labels=new.labels,
            others_before=old.others_right / old.others, others_now=new.others_right / new.others,
            adjusted_p=adjusted[best],
        ))  # fmt: skip
        left_C &= ~part.mask
        if then is not None:
            left_R &= ~then.mask
    return tuple(found)


_Rows = tuple["NDArray[np.bool_]", "NDArray[np.bool_]"]
"""Whether each row is right, and whether it is still asked about."""


def _tested(
    asked: Sequence[tuple[Part | None, Part]], reference: _Rows, current: _Rows
) -> Iterator[tuple[float, Part | None, Part, _Shares, _Shares]]:
    for then, part in asked:
        new = _shares(part.mask, current)
        inside = np.zeros(len(reference[0]), dtype=bool) if then is None else then.mask
        old = _shares(inside, reference)
        if min(new.labels, new.others, old.others) >= _LEAST:
            yield _p_value(old, new), then, part, old, new


def _shares(inside: NDArray[np.bool_], rows: _Rows) -> _Shares:
    right, left = rows
    own, others = inside & left, ~inside & left
    return _Shares(int(right[own].sum()), int(own.sum()), int(right[others].sum()),
                   int(others.sum()))  # fmt: skip


def _p_value(old: _Shares, new: _Shares) -> float:
    """Return the p-value of `it lost nothing, or no more than the others`: the larger of both.

    A part that the reference hardly has is held against the rest of the reference.
    """
    before = _pulled(old.right, old.labels)
    if old.labels < _LEAST:
        before = _pulled(old.others_right, old.others)
    lost = _less(before, _pulled(new.right, new.labels))
    others = _less(_pulled(old.others_right, old.others), _pulled(new.others_right, new.others))
    more = _less(lost, others)
    return max(float(norm.sf(value / variance**0.5)) for value, variance in (lost, more))


def _pulled(right: int, labels: int) -> tuple[float, float]:
    """Return a share and its variance, with a success and a failure added."""
    share = (right + 1) / (labels + 2)
    return share, share * (1 - share) / (labels + 2)


def _less(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] - other[0], one[1] + other[1]
