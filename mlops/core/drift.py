"""Statistics of drift, by Evidently's names and to its digits, against a presorted reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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
        norm=norms(reference),
        share=shares(reference),
        rows=len(reference),
    )


def norms(reference: Columns) -> NDArray[np.float64]:
    """Return what Evidently divides a reference's distances by; float64, (D,)."""
    norm: NDArray[np.float64] = np.maximum(reference.values.std(axis=0), _SMALLEST_NORM)
    return norm


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
    numeric = wasserstein_rows(reference.ordered, current) / reference.norm
    return np.array([*numeric, jensenshannon(reference.share, shares(window))])


def methods(numeric: int) -> tuple[str, ...]:
    """Return Evidently's name of each statistic, for so many numeric columns."""
    return (WASSERSTEIN,) * numeric + (JENSENSHANNON,)


def wasserstein(reference_sorted: NDArray[np.float64], window_sorted: NDArray[np.float64]) -> float:
    """Return the first Wasserstein distance ∫|F - G| of two sorted samples.

    Source: Vallender, Calculation of the Wasserstein distance between probability
    distributions on the line, 1974.
    """
    return float(wasserstein_rows(reference_sorted[np.newaxis], window_sorted[np.newaxis])[0])


def wasserstein_rows(
    reference_sorted: NDArray[np.float64], window_sorted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance of each row of (D, n) to its row of (D, N), all sorted; float64, (D,).

    It is also ∫|F⁻¹ - G⁻¹| over (0, 1), whose steps lie at i/n and j/N whatever the values are:
    which pairs of ranks meet is worked out once for all columns and all windows of a size.
    """
    n, m = reference_sorted.shape[1], window_sorted.shape[1]
    out = np.empty(len(window_sorted))
    if n == m:  # equal ranks meet, and nothing need be gathered
        for d, (x, y) in enumerate(zip(reference_sorted, window_sorted, strict=True)):
            out[d] = np.abs(x - y).mean()
        return out
    old, new, weight = _steps(n, m)
    for d, (x, y) in enumerate(zip(reference_sorted, window_sorted, strict=True)):
        gap = x[old] - y[new]
        out[d] = np.abs(gap, out=gap) @ weight
    return out


@lru_cache(maxsize=8)
def _steps(n: int, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return ranks in samples of n and m rows that meet, and the length of (0, 1) they meet on."""
    # In units of 1 / (n m), so that equal ends are equal.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    begins = np.concatenate([[0], ends[:-1]])
    return begins // m, begins // n, (ends - begins) / (n * m)


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
