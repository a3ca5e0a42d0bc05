"""Residuals of each column given the others, from fits that leave the row's own entity out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.entities import Entities


def without_own_entity(
    x: NDArray[np.float64], inverse: NDArray[np.float64], entities: Entities
) -> NDArray[np.float64]:
    """Return each row's residuals from a fit on the other entities' rows, mean included; (N, F).

    With P = X V of an entity's rows X and the inverse V of x'x, leaving them out turns P into
    S P, S = (1 - X V X' - 1/N)⁻¹, and adds the diagonal of P' S P to V's (Sherman, Morrison and
    Woodbury; for one row: Cook and Weisberg 1982).

    Args:
        x: (N, F): centred columns.
        inverse: (F, F): of x'x.
        entities: of the rows.
    """
    out = np.empty_like(x)
    for size in np.unique(entities.sizes):
        starts = entities.starts[entities.sizes == size]
        if size > x.shape[1]:
            for start in starts:
                rows = entities.rows[start : start + size]
                out[rows] = _refitted(x, rows, inverse)
            continue
        rows = entities.rows[starts[:, np.newaxis] + np.arange(size)]
        own = x[rows]
        projected = own @ inverse
        kept = np.eye(size) - projected @ own.transpose(0, 2, 1) - 1 / len(x)
        left = np.linalg.solve(kept, projected)
        out[rows] = left / (np.diag(inverse) + (projected * left).sum(axis=1))[:, np.newaxis]
    return out


def _refitted(
    x: NDArray[np.float64], rows: NDArray[np.int64], inverse: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the residuals of an entity with more rows than columns, from a fit of its own."""
    own, others = x[rows], len(x) - len(rows)
    centre = -own.sum(axis=0) / others
    rest = np.linalg.inv(inverse) - own.T @ own - others * np.outer(centre, centre)
    fitted = np.linalg.inv(rest)
    found: NDArray[np.float64] = (own - centre) @ fitted / np.diag(fitted)
    return found
