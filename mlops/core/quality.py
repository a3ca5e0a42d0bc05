"""Data quality of a window: what is broken is not drift, and blocks retraining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SUM_TOLERANCE = 1e-3  # float32 softmax over some hundred classes stays far inside
_BLANK_EXTRA = 0.05
_BLANK_FACTOR = 3.0
_STUCK_SHARE = 0.5
_SLOW_FACTOR = 20.0
_SLOW_S = 3600.0
_HISTORY = 5


@dataclass(frozen=True)
class Arrivals:
    """How a window came in.

    Attributes:
        wrong_size: rows whose features are not of the schema.
        example_ids: identity of each row.
        duration_s: from the first row to the last.
        earlier_s: durations of the windows before, any number of them.
    """

    wrong_size: int
    example_ids: Sequence[str]
    duration_s: float
    earlier_s: Sequence[float]


def sound(answers: NDArray[np.float32], *, regression: bool = False) -> NDArray[np.bool_]:
    """Say of each row of (N, K) whether it is an answer.

    A distribution: finite, in [0, 1], summing to 1. Quantiles: finite and ascending.
    """
    finite = np.isfinite(answers).all(axis=1)
    p = np.nan_to_num(answers.astype(np.float64), posinf=0.0, neginf=0.0)
    if regression:
        return np.asarray(finite & (np.diff(p, axis=1) >= 0.0).all(axis=1))
    whole = np.abs(p.sum(axis=1) - 1.0) <= _SUM_TOLERANCE
    mask: NDArray[np.bool_] = finite & whole & (p >= 0.0).all(axis=1)
    return mask


def hits(
    label: NDArray[Any], answers: NDArray[np.float32], *, regression: bool
) -> NDArray[np.bool_]:
    """Say which answers are right; bool (N,).

    A class if it is the likeliest. A number has no right or wrong: its quantiles are right if it
    lies between the outer ones, which they promise for a fixed share of the rows.

    Args:
        label: (N,): indices of classes, or numbers.
        answers: (N, K): probabilities, or quantiles.
        regression: which of the two.
    """
    if regression:
        inside: NDArray[np.bool_] = (answers[:, 0] <= label) & (label <= answers[:, -1])
        return inside
    return np.asarray(answers.argmax(axis=1) == label)


def breaks(
    *, unsound: int, blank_share: float, reference_blank_share: float, arrivals: Arrivals
) -> tuple[str, ...]:
    """Return the quality checks that fail, each as `name: words`.

    Args:
        unsound: rows whose answers are none: see `sound`.
        blank_share: share of examples that hold nothing: see `mlops.core.columns.blank`.
        reference_blank_share: likewise, of the reference.
        arrivals: how the window came in.
    """
    found: list[str] = []
    rows = len(arrivals.example_ids)
    if unsound:
        found.append(f"probabilities: {unsound} of {rows} rows are no distribution (NaN or sum)")
    if arrivals.wrong_size:
        found.append(f"size: {arrivals.wrong_size} of {rows} rows are not of the model's schema")
    allowed = max(reference_blank_share + _BLANK_EXTRA, _BLANK_FACTOR * reference_blank_share)
    if blank_share > allowed:
        found.append(
            f"blank: {blank_share:.0%} of the rows are empty or of one colour, "
            f"in the reference {reference_blank_share:.0%}"
        )
    _, counts = np.unique(np.asarray(arrivals.example_ids), return_counts=True)
    if rows and counts.max() > _STUCK_SHARE * rows:
        found.append(f"stuck: one example makes up {counts.max() / rows:.0%} of the window")
    if len(arrivals.earlier_s) >= _HISTORY:
        usual = float(np.median(np.asarray(arrivals.earlier_s)))
        if arrivals.duration_s > max(_SLOW_FACTOR * usual, _SLOW_S):
            found.append(
                f"volume: {rows} rows took {arrivals.duration_s / 60:.0f} minutes, "
                f"usually {usual / 60:.1f}"
            )
    return tuple(found)
