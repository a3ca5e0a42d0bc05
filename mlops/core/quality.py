"""Data quality of a window: what is broken is not drift, and blocks retraining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.usual import broken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import Schema
    from mlops.core.usual import Contents, Usual

SPANS = 5000
"""Windows before, at most, whose durations show what is usual."""

_SUM_TOLERANCE = 1e-3  # float32 softmax over some hundred classes stays far inside
_STUCK_SHARE = 0.5
_LONGER = 2.0  # than windows before took
_SLOW_S = 3600.0
_HISTORY, _TOGETHER = 5, 20.0
_RARE = 3  # windows before that may have taken as long: an outage is no habit


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
    held: Contents, schema: Schema, before: Usual, *, unsound: int, arrivals: Arrivals
) -> tuple[str, ...]:
    """Return the quality checks that fail, each as `name: words`.

    Args:
        held: what the rows that are of the schema hold.
        schema: of the version.
        before: its reference rows.
        unsound: rows whose answers are none: see `sound`.
        arrivals: how the window came in.
    """
    found: list[str] = []
    rows = len(arrivals.example_ids)
    if unsound:
        found.append(f"probabilities: {unsound} of {rows} rows are no distribution (NaN or sum)")
    if arrivals.wrong_size:
        found.append(f"size: {arrivals.wrong_size} of {rows} rows are not of the model's schema")
    found += broken(held, schema, before)
    _, counts = np.unique(np.asarray(arrivals.example_ids), return_counts=True)
    stuck = float(counts.max()) / rows if rows else 0.0
    if stuck > before.repeated + (1.0 - before.repeated) * _STUCK_SHARE:
        found.append(
            f"stuck: one example makes up {stuck:.0%} of the window, in the reference "
            f"{before.repeated:.0%}"
        )
    return (*found, *_late(rows, arrivals))


def _late(rows: int, arrivals: Arrivals) -> list[str]:
    """Say if rows took far longer to come than ever in a history that would show a habit.

    A night or a weekend without rows is one: it is known after twenty times as long.
    """
    earlier = sorted(arrivals.earlier_s)
    if len(earlier) < _HISTORY or sum(earlier) < _TOGETHER * arrivals.duration_s:
        return []
    longest = earlier[-min(_RARE, len(earlier) // 2)]
    if arrivals.duration_s <= max(_LONGER * longest, _SLOW_S):
        return []
    return [
        (
            f"volume: {rows} rows took {arrivals.duration_s / 60:.0f} minutes; in the "
            f"{sum(earlier) / 86_400:.1f} days before hardly a window took more than "
            f"{longest / 60:.1f}"
        )
    ]
