"""Weak slices that nobody declared: found on one half of the rows, tested on the other.

A slice that was searched for looks bad by choice, so the rows that found it prove nothing. The
halves are made by the parity of each row's key, so that rows that resemble each other never
stand on both sides; a search costs no more tests than the slices that it hands over.
Source of the search: a shallow regression tree on the per-row score (Breiman et al. 1984), as in
Chung et al., Automated data slicing for model validation (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core.paired import holm
from mlops.core.schema import category_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_NAMED = 4  # of a slice's categories


@dataclass(frozen=True)
class Rules:
    """How to search.

    Attributes:
        depth: most conditions of a slice.
        min_rows: fewest rows of a slice in the half that finds it.
        most: most slices to hand over.
    """

    depth: int
    min_rows: int
    most: int


@dataclass(frozen=True)
class Condition:
    """A range of one column: `above` < value ≤ `upto`, either of them infinite.

    Attributes:
        column: its number.
        name: its name.
        above: lower limit, outside the range.
        upto: upper limit, inside.
        categories: of a column of codes, those that were seen, each with its name.
    """

    column: int
    name: str
    above: float
    upto: float
    categories: tuple[tuple[float, str], ...] = ()

    def __str__(self) -> str:
        """Write it as `contrast ≤ 0.21`, or `colour: red or blue`."""
        if self.categories:
            return self._named()
        if self.above == -np.inf:
            return f"{self.name} ≤ {self.upto:g}"
        if self.upto == np.inf:
            return f"{self.name} > {self.above:g}"
        return f"{self.above:g} < {self.name} ≤ {self.upto:g}"

    def _named(self) -> str:
        """Name the categories inside, or those outside where they are fewer."""
        inside = [name for code, name in self.categories if self.above < code <= self.upto]
        outside = [name for code, name in self.categories if not self.above < code <= self.upto]
        if len(inside) <= max(len(outside), 1):
            return f"{self.name}: {_either(inside)}"
        return f"{self.name}: not {_either(outside)}"


def _either(names: Sequence[str]) -> str:
    shown = (
        list(names) if len(names) <= _NAMED else [*names[:_NAMED], f"{len(names) - _NAMED} more"]
    )
    return " or ".join(shown)


@dataclass(frozen=True)
class FoundSlice:
    """Rows in a box of the columns, where the finding half scored low.

    Attributes:
        conditions: all of them hold.
    """

    conditions: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """`contrast ≤ 0.21 and sharpness > 0.4`: the exact limits, not rounded ones."""
        return " and ".join(map(str, self.conditions))

    def mask(self, column_NC: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say of each row of (N, C) whether it lies in the slice; bool (N,)."""
        inside = np.ones(len(column_NC), dtype=bool)
        for c in self.conditions:
            value_N = column_NC[:, c.column]
            inside &= (value_N > c.above) & (value_N <= c.upto)
        return inside


@dataclass(frozen=True)
class Tested:
    """A slice against the rows outside it.

    Attributes:
        n: independent rows inside: one for each key.
        inside: their mean score; NaN for none.
        outside: mean score of the others; NaN for none.
        p: one-sided p-value of `the slice is no worse`.
        adjusted: the same after Holm over all slices tested together.
    """

    n: int
    inside: float
    outside: float
    p: float
    adjusted: float


def finding_half(key_N: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each row whether it searches (even keys) or tests (odd ones)."""
    return np.asarray(key_N % np.uint64(2) == 0)


def find_slices(
    column_NC: NDArray[np.float64],
    names: Sequence[str],
    score_N: NDArray[np.float64],
    key_N: NDArray[np.uint64],
    rules: Rules,
    *,
    categories: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[FoundSlice, ...]:
    """Return where the finding half scores lower than elsewhere, the clearest first.

    Args:
        column_NC: finite.
        names: of the C columns.
        score_N: higher is better: 1 for a right answer, a candidate's score minus a champion's.
        key_N: hash of each row's split key.
        rules: how to search.
        categories: names behind the codes of the columns that hold codes.
    """
    from sklearn.tree import DecisionTreeRegressor

    half = finding_half(key_N)
    column_NC, score_N = column_NC[half], score_N[half]
    if len(score_N) < 2 * rules.min_rows or np.ptp(score_N) == 0.0:
        return ()
    tree = DecisionTreeRegressor(
        max_depth=rules.depth, min_samples_leaf=rules.min_rows, random_state=0
    )
    tree.fit(column_NC, score_N)
    seen = {
        name: tuple((code, category_name(code, known)) for code in
                    np.unique(column_NC[:, names.index(name)]).tolist())
        for name, known in (categories or {}).items()
    }  # fmt: skip
    found = []
    for box in _leaves(tree.tree_, names, seen):
        inside = box.mask(column_NC)
        # What holds for most rows is no slice: its complement would be the better news.
        if box.conditions and rules.min_rows <= inside.sum() <= len(inside) / 2:
            gap = float(score_N[~inside].mean() - score_N[inside].mean())
            found.append((gap * np.sqrt(inside.sum()), box))
    found.sort(key=lambda item: -item[0])
    return tuple(box for gap, box in found[: rules.most] if gap > 0.0)


def compare(
    mask_SN: Sequence[NDArray[np.bool_]], score_N: NDArray[np.float64], key_N: NDArray[np.uint64]
) -> tuple[Tested, ...]:
    """Ask of each slice whether it scores lower than the rows outside it, by Holm over all.

    Of rows with one key only the first counts. Scores of two values have Fisher's exact test,
    others Welch's; a slice that is empty or everything has p = 1.

    Args:
        mask_SN: one mask per slice.
        score_N: as for `find_slices`; none of the rows that found the slices.
        key_N: hash of each row's split key.
    """
    _, first = np.unique(key_N, return_index=True)
    score = score_N[first].astype(np.float64)
    inside = [mask_N[first] for mask_N in mask_SN]
    p = [_lower_p(score[mask], score[~mask]) for mask in inside]
    return tuple(
        Tested(int(mask.sum()), _mean(score[mask]), _mean(score[~mask]), one, adjusted)
        for mask, one, adjusted in zip(inside, p, holm(p), strict=True)
    )


def _lower_p(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    if len(inside) == 0 or len(outside) == 0:
        return 1.0
    values = np.unique(np.concatenate([inside, outside]))
    if len(values) <= 2:
        high, total = values[-1], len(inside) + len(outside)
        hits = int((inside == high).sum())
        every = hits + int((outside == high).sum())
        return float(stats.hypergeom.cdf(hits, total, every, len(inside)))
    if len(inside) < 2 or len(outside) < 2:
        return 1.0
    found = stats.ttest_ind(inside, outside, equal_var=False, alternative="less")
    return float(found.pvalue) if np.isfinite(found.pvalue) else 1.0


def _mean(score: NDArray[np.float64]) -> float:
    return float(score.mean()) if len(score) else float("nan")


def _leaves(
    tree: object, names: Sequence[str], seen: Mapping[str, tuple[tuple[float, str], ...]]
) -> list[FoundSlice]:
    """Return the box of every leaf of a fitted scikit-learn tree."""
    left, right, feature, limit = (
        getattr(tree, name) for name in ("children_left", "children_right", "feature", "threshold")
    )
    out: list[FoundSlice] = []
    waiting: list[tuple[int, dict[int, tuple[float, float]]]] = [(0, {})]
    while waiting:
        node, box = waiting.pop()
        if left[node] < 0:
            conditions = (
                Condition(c, names[c], *limits, seen.get(names[c], ()))
                for c, limits in sorted(box.items())
            )
            out.append(FoundSlice(tuple(conditions)))
            continue
        column = int(feature[node])
        # Three digits, so that what the name says is what the slice is.
        cut = float(f"{limit[node]:.3g}")
        above, upto = box.get(column, (-np.inf, np.inf))
        waiting.append((int(right[node]), {**box, column: (max(above, cut), upto)}))
        waiting.append((int(left[node]), {**box, column: (above, min(upto, cut))}))
    return out
