"""Statistics of drift, by Evidently's names and to its digits, against a presorted reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.columns import Columns

WASSERSTEIN = "wasserstein"
JENSENSHANNON = "jensenshannon"
_SMALLEST_NORM = 0.001  # Evidently's floor under the reference's standard deviation


@dataclass(frozen=True)
class Reference:
    """A reference made ready for many windows.

    Attributes:
        names: the D numeric columns.
        ordered: float64, (D, n): each numeric column, sorted.
        norm: float64, (D,): what Evidently divides by: max(standard deviation, 0.001).
        share: float64, (K,): share of each predicted class.
        rows: n.
    """

    names: tuple[str, ...]
    ordered: NDArray[np.float64]
    norm: NDArray[np.float64]
    share: NDArray[np.float64]
    rows: int


def presort(reference: Columns) -> Reference:
    """Sort a reference once, so that every window after costs only its own size.

    Raises:
        ValueError: if the reference has no rows.
    """
    if not len(reference):
        msg = "the reference has no rows"
        raise ValueError(msg)
    return Reference(
        names=reference.names,
        ordered=np.sort(reference.values.T, axis=1),
        norm=np.maximum(reference.values.std(axis=0), _SMALLEST_NORM),
        share=shares(reference),
        rows=len(reference),
    )


def shares(rows: Columns) -> NDArray[np.float64]:
    """Return the share of each predicted class; float64, (K,)."""
    counts = np.bincount(rows.predicted, minlength=rows.classes)
    return counts / max(len(rows), 1)


def statistics(reference: Reference, window: Columns) -> NDArray[np.float64]:
    """Return the D normed Wasserstein distances, then the predicted class's Jensen-Shannon.

    Raises:
        ValueError: if the window has no rows or other columns than the reference.
    """
    if window.names != reference.names or not len(window):
        msg = f"a window of {len(window)} rows with columns {window.names} cannot be compared"
        raise ValueError(msg)
    current = np.sort(window.values.T, axis=1)
    pairs = zip(reference.ordered, current, reference.norm, strict=True)
    numeric = [wasserstein(old, new) / norm for old, new, norm in pairs]
    return np.array([*numeric, jensenshannon(reference.share, shares(window))])


def methods(numeric: int) -> tuple[str, ...]:
    """Return Evidently's name of each statistic, for so many numeric columns."""
    return (WASSERSTEIN,) * numeric + (JENSENSHANNON,)


def wasserstein(reference_sorted: NDArray[np.float64], window_sorted: NDArray[np.float64]) -> float:
    """Return the first Wasserstein distance ∫|F - G| of two sorted samples.

    Source: Vallender, Calculation of the Wasserstein distance between probability
    distributions on the line, 1974.
    """
    both = np.concatenate([reference_sorted, window_sorted])
    both.sort(kind="stable")  # merges two sorted runs
    at = both[:-1]
    old = reference_sorted.searchsorted(at, "right") / len(reference_sorted)
    new = window_sorted.searchsorted(at, "right") / len(window_sorted)
    return float(np.abs(old - new) @ np.diff(both))


def jensenshannon(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return the Jensen-Shannon distance (root of the divergence, natural logarithm).

    Source: Endres and Schindelin, A new metric for probability distributions, 2003.

    Args:
        p: shares, (K,), summing to 1.
        q: likewise.
    """
    return float(jensenshannon_rows(p, q[np.newaxis])[0])


def jensenshannon_rows(p: NDArray[np.float64], q_BK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of `p`, (K,), to each row of `q_BK`; float64, (B,)."""
    middle = (p + q_BK) / 2
    divergence = (_entropy_terms(p, middle) + _entropy_terms(q_BK, middle)) / 2
    root: NDArray[np.float64] = np.sqrt(np.maximum(divergence, 0.0))
    return root


def _entropy_terms(p: NDArray[np.float64], middle: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.broadcast_to(p, middle.shape)
    ratio = np.divide(p, middle, out=np.ones_like(middle), where=p > 0)
    total: NDArray[np.float64] = (p * np.log(ratio)).sum(axis=1)
    return total
