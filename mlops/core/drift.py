"""Statistics of drift, by Evidently's names and to its digits, against a presorted reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.embedding import TOGETHER
from mlops.core.joint import learn_joint
from mlops.core.schema import MISSING_CATEGORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.columns import Columns
    from mlops.core.joint import Joint

WASSERSTEIN = "wasserstein"
JENSENSHANNON = "jensenshannon"
HOTELLING = "hotelling"
"""The one statistic that Evidently has not: of an embedding's columns at once."""
_AT_ONCE = 8  # columns: of (N, D) numbers, so many share a line of the processor's cache
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
        named: columns whose values are codes of names.
        mixes: of each of them its place and the share of each name, see `mix`.
        joint: what an embedding is judged by as one; None where there is none.
    """

    names: tuple[str, ...]
    ordered: NDArray[np.float64]
    norm: NDArray[np.float64]
    share: NDArray[np.float64]
    rows: int
    named: tuple[str, ...] = ()
    mixes: tuple[tuple[int, NDArray[np.float64]], ...] = ()
    joint: Joint | None = None


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
        ordered=_ordered(reference.values, np.empty(reference.values.T.shape)),
        norm=norms(reference),
        share=shares(reference),
        rows=len(reference),
        named=reference.named,
        mixes=tuple((d, mix(reference.values[:, d])) for d in reference.named_at),
        joint=learn_joint(reference),
    )


def _ordered(values_ND: NDArray[np.float64], room_DN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each column, sorted, in one piece of memory: where there is room for D or more."""
    column_DN = room_DN[: values_ND.shape[1]]
    np.copyto(column_DN, values_ND.T)  # `np.sort` would leave them in strides
    column_DN.sort(axis=1)
    return column_DN


def norms(reference: Columns) -> NDArray[np.float64]:
    """Return what Evidently divides a reference's distances by; float64, (D,)."""
    norm: NDArray[np.float64] = np.maximum(reference.values.std(axis=0), _SMALLEST_NORM)
    return norm


def shares(rows: Columns) -> NDArray[np.float64]:
    """Return the share of each predicted class; float64, (K,)."""
    counts = np.bincount(rows.predicted, minlength=rows.classes)
    return counts / max(len(rows), 1)


def mix(code_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each code from `MISSING_CATEGORY` to the largest; float64, (M,)."""
    counts = np.bincount(code_N.astype(np.int64) - int(MISSING_CATEGORY))
    return counts / max(len(code_N), 1)


def moved(
    old: NDArray[np.float64], new: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two results of `mix` at one length."""
    size = max(len(old), len(new))
    return np.pad(old, (0, size - len(old))), np.pad(new, (0, size - len(new)))


def statistics(reference: Reference, window: Columns) -> NDArray[np.float64]:
    """Return the D normed Wasserstein distances, then the predicted class's Jensen-Shannon.

    Of a column of names, too, it is Jensen-Shannon: names have no order and no distance. Before the
    last stands the distance of an embedding as one, where there is one.

    Raises:
        ValueError: if the window has no rows or other columns than the reference.
    """
    if window.names != reference.names or not len(window):
        msg = f"a window of {len(window)} rows with columns {window.names} cannot be compared"
        raise ValueError(msg)
    numeric, room = np.empty(len(window.names)), np.empty((_AT_ONCE, len(window)))
    for start in range(0, len(numeric), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        current = _ordered(window.values[:, some], room)
        numeric[some] = wasserstein_rows(reference.ordered[some], current)
    numeric /= reference.norm
    for d, old in reference.mixes:
        numeric[d] = jensenshannon(*moved(old, mix(window.values[:, d])))
    together = [reference.joint.distance(window.values)] if reference.joint else []
    if window.embedded_at and not together:
        together = [0.0]  # an embedding that never varies: its columns say all there is
    return np.array([*numeric, *together, jensenshannon(reference.share, shares(window))])


def methods(names: Sequence[str], named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return Evidently's name of each statistic.

    Args:
        names: the numeric columns, and an embedding as one.
        named: those whose values are codes of names.
    """
    known = {TOGETHER: HOTELLING, **dict.fromkeys(named, JENSENSHANNON)}
    return (*(known.get(name, WASSERSTEIN) for name in names), JENSENSHANNON)


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
    # All columns share their scratch memory: fresh pages would cost more than the arithmetic.
    if n == m:  # equal ranks meet, and nothing need be gathered
        gap = np.empty(n)
        for d, (x, y) in enumerate(zip(reference_sorted, window_sorted, strict=True)):
            out[d] = np.abs(np.subtract(x, y, out=gap), out=gap).mean()
        return out
    old, new, weight = _steps(n, m)
    gap, other = np.empty((2, len(weight)))
    for d, (x, y) in enumerate(zip(reference_sorted, window_sorted, strict=True)):
        x.take(old, out=gap, mode="clip")  # every rank is there: the mode spares a copy
        gap -= y.take(new, out=other, mode="clip")
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
