"""Weak slices that nobody declared: found on one half of the rows, tested on the other.

A slice that was searched for looks bad by choice, so the rows that found it prove nothing. The
halves are made by the parity of each row's key, so that rows that resemble each other never
stand on both sides; a search costs no more tests than the slices that it hands over.
Source of the search: a shallow regression tree on the per-row score (Breiman et al. 1984), as in
Chung et al., Automated data slicing for model validation (2019).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from mlops.core.boxes import Condition, FoundSlice
from mlops.core.paired import holm
from mlops.core.schema import category_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


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
        column_NC: NaN where a row has no value: such rows are on either side of a cut.
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
    for leaf in _leaves(tree.tree_, names, seen):
        box = leaf.seen(column_NC)
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
    tree: Any, names: Sequence[str], seen: Mapping[str, tuple[tuple[float, str], ...]]
) -> list[FoundSlice]:
    """Return the box of every leaf of a fitted scikit-learn tree.

    Args:
        tree: its arrays.
        names: of the C columns.
        seen: codes, with their names, of the columns that hold codes.
    """
    out: list[FoundSlice] = []
    waiting: list[tuple[int, dict[int, Condition]]] = [(0, {})]
    while waiting:
        node, box = waiting.pop()
        if tree.children_left[node] < 0:
            out.append(FoundSlice(tuple(_whole(box[c]) for c in sorted(box))))
            continue
        column = int(tree.feature[node])
        # Three digits, so that what the name says is what the slice is.
        cut, below = float(f"{tree.threshold[node]:.3g}"), bool(tree.missing_go_to_left[node])
        whole = Condition(
            column, names[column], -np.inf, np.inf, seen.get(names[column], ()),
            missing=True,
        )  # fmt: skip
        kept = box.get(column, whole)
        left = replace(kept, upto=min(kept.upto, cut), missing=kept.missing and below)
        right = replace(kept, above=max(kept.above, cut), missing=kept.missing and not below)
        waiting.append((int(tree.children_right[node]), {**box, column: right}))
        waiting.append((int(tree.children_left[node]), {**box, column: left}))
    return out


def _whole(one: Condition) -> Condition:
    """Return a condition whose range was rounded away as one on missing values alone."""
    return replace(one, above=np.inf, upto=np.inf) if one.above >= one.upto else one
