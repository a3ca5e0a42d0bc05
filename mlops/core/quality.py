"""Data quality of a window: what is broken is not drift, and blocks retraining."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.usual import broken
from mlops.core.volume import volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import Schema
    from mlops.core.usual import Contents, Usual
    from mlops.core.volume import Span

_SUM_TOLERANCE = 1e-3  # float32 softmax over some hundred classes stays far inside
_STUCK_SHARE = 0.5
_UNUSUAL = ("stuck", "volume", "lateness")  # checks of rows that are sound, one by one


@dataclass(frozen=True)
class Arrivals:
    """How a window came in.

    Attributes:
        wrong_size: rows whose features are not of the schema.
        example_ids: identity of each row.
        span: when its rows were predicted.
        earlier: the windows before, in the order in which they ended.
    """

    wrong_size: int
    example_ids: Sequence[str]
    span: Span
    earlier: Sequence[Span]


def is_unusual(broken: str) -> bool:
    """Say whether a failed check rests on what was usual before, and on no value that is wrong.

    Such a check may fail by chance, so its incidents count against the budget.

    Args:
        broken: as `breaks` returns it, `name: words`.
    """
    return broken.partition(":")[0] in _UNUSUAL


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


def errors(label: NDArray[Any], answers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how far the answers of a regression are from the truth, in its unit; (N,).

    The answer is the middle quantile, the median.

    Args:
        label: (N,), numbers.
        answers: (N, K), quantiles.
    """
    middle = answers[:, answers.shape[1] // 2].astype(np.float64)
    return np.asarray(np.abs(label - middle))


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
    stuck = max(Counter(arrivals.example_ids).values()) / rows if rows else 0.0
    if stuck > before.repeated + (1.0 - before.repeated) * _STUCK_SHARE:
        found.append(
            f"stuck: one example makes up {stuck:.0%} of the window, in the reference "
            f"{before.repeated:.0%}"
        )
    return (*found, *volume(rows, arrivals.span, arrivals.earlier))
