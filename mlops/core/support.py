"""How much of a window lies beyond what a reference holds: what that teaches does not reach there.

A row is beyond the reference if its nearest reference row is farther from it than those are from
each other, but for the loneliest hundredth. Far is what is far in any one column, in standard
deviations: among many columns that stayed, one that moved away would hardly lengthen a straight
line. Nothing is clipped, so a row does not come nearer by being wilder.

Source: the nearest neighbour's distance as a measure of novelty, Knorr and Ng, Algorithms for
mining distance-based outliers (1998), with a limit from rows that were held out, as in conformal
prediction (Laxhammar and Falkman, 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.estimate import Z95

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONELY = 0.01  # of the reference's own rows: one wild row does not stretch the limit
_LOOKED = 1000  # rows, at most, whose neighbours are looked for: 0.1 s of 64 columns


@dataclass(frozen=True)
class Support:
    """Where the N rows of a reference lie, in D columns of numbers.

    Attributes:
        centre: (D,), subtracted before distances are taken.
        scale: (D,), divided by.
        tree: of SciPy, of the reference's rows.
        limit: a row whose nearest one is farther is beyond the reference.
        beyond: share of the reference's own rows that are, held out: what clean rows show too.
        looked: the rows that it is a share of.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    tree: Any
    limit: float
    beyond: float
    looked: int


def survey(row_ND: NDArray[np.float64], group_N: NDArray[np.int64]) -> Support:
    """Learn where a reference's rows lie.

    Args:
        row_ND: its rows, at least two groups of them.
        group_N: rows of one group are no neighbours of each other: copies would be too near.
    """
    centre, scale = row_ND.mean(axis=0), row_ND.std(axis=0)
    scale[scale == 0.0] = 1.0
    x_ND = (row_ND - centre) / scale
    looked = np.zeros(len(x_ND), dtype=bool)
    looked[_some(len(x_ND))] = True
    far_N = np.zeros(len(x_ND))
    for one in np.unique(group_N[looked]):
        out = group_N == one
        far_N[out & looked] = _distances(_tree(x_ND[~out]), x_ND[out & looked])
    limit = float(np.quantile(far_N[looked], 1.0 - _LONELY))
    beyond = float((far_N[looked] > limit).mean())
    return Support(centre, scale, _tree(x_ND), limit, beyond, int(looked.sum()))


def unsupported(known: Support, row_MD: NDArray[np.float64]) -> float:
    """Return the share of M rows that lie beyond a reference, 0 to 1.

    Less the share that clean rows show too, and chance in both: 0 for all but few clean windows.
    """
    x_MD = (row_MD[_some(len(row_MD))] - known.centre) / known.scale
    share = float((_distances(known.tree, x_MD) > known.limit).mean())
    noise = known.beyond * (1.0 - known.beyond) * (1.0 / len(x_MD) + 1.0 / known.looked)
    clean = known.beyond + Z95 * float(np.sqrt(noise))
    return max((share - clean) / (1.0 - clean), 0.0)


def _some(rows: int) -> NDArray[np.int64]:
    """Return places of rows to look at: all, or as many as are looked at, drawn at random."""
    return np.random.default_rng(0).permutation(rows)[:_LOOKED]


def _tree(x_ND: NDArray[np.float64]) -> Any:
    from scipy.spatial import cKDTree

    return cKDTree(x_ND)


def _distances(tree: Any, x_MD: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each row's nearest one is, in the column in which it is farthest."""
    return np.asarray(tree.query(x_MD, k=1, p=np.inf)[0])
