"""What each column is given the others: shifts that no single column shows.

Columns of one row hang together: a sharper picture has more contrast. A corruption breaks such a
relation long before it moves a column out of its usual range, so each numeric column that the
others explain is watched twice: as it is, and as the residual of its regression on them. On
digits with every tenth image blurred, windows of 200 rows, the largest Wasserstein distance had a
power of .06 at the level .05 without the residuals and of .88 with them; the mean's Mahalanobis
distance had .74 (docs/drift.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.entities import group
from mlops.core.left_out import without_own_entity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.columns import Columns

GIVEN = " given the rest"
"""Ends the name of a residual column."""

_ROWS_PER_COLUMN = 10  # with fewer, the coefficients' own error is what the residuals show
_LEAST_UNEXPLAINED = 1e-6  # share of the variance; below it a column is a function of the others
_MOST_UNEXPLAINED = 0.9  # above it the residual is the column over again
_RIDGE = 1e-9
_CHUNK_ROWS = 16_384  # bounds the memory of the centred copies


@dataclass(frozen=True)
class Relations:
    """Linear relations between the D numeric columns of a reference.

    Attributes:
        names: the D columns.
        kept: the R of them that the others explain.
        centre: (D,), the reference's means.
        weights: (D, R): a centred row times these is its residuals, in their standard deviations.
    """

    names: tuple[str, ...]
    kept: tuple[str, ...]
    centre: NDArray[np.float64]
    weights: NDArray[np.float64]

    def extend(self, rows: Columns) -> Columns:
        """Return the rows with a residual column after their numeric ones, for each kept column.

        Raises:
            ValueError: if the rows have other columns.
        """
        if rows.names != self.names:
            msg = f"relations of columns {self.names} do not fit rows of {rows.names}"
            raise ValueError(msg)
        if not self.kept:
            return rows
        names = (*rows.names, *(name + GIVEN for name in self.kept))
        values = np.empty((len(rows), len(names)))
        for start in range(0, len(rows), _CHUNK_ROWS):
            own = rows.values[start : start + _CHUNK_ROWS]
            values[start : start + len(own), : own.shape[1]] = own
            values[start : start + len(own), own.shape[1] :] = (own - self.centre) @ self.weights
        return replace(rows, names=names, values=values)


def relate(reference: Columns, key: NDArray[np.uint64] | None = None) -> tuple[Relations, Columns]:
    """Fit the relations of a reference; return them, and the reference with its residuals.

    The reference's own residuals are those of leaving each row out of the fit: a row that was
    fitted on lies too near its prediction, and every window would seem to have drifted. Where
    entities have several rows, an entity is left out with all of them.

    Source: leave-one-out residuals r / (1 - h) in Cook and Weisberg, Residuals and Influence in
    Regression, 1982; columns given all others by the inverse of their covariance.

    Args:
        reference: N rows.
        key: uint64, (N,): equal for rows of one entity; None if each row is one of its own.
    """
    n, d = reference.values.shape
    entities = None if key is None or not n else group(key)
    units = n if entities is None else len(entities)
    centre = reference.values.mean(axis=0) if n else np.zeros(d)
    none = Relations(reference.names, (), centre, np.zeros((d, 0)))
    spread = reference.values.std(axis=0) if n else np.zeros(d)
    spread[list(reference.named_at)] = 0.0  # codes of names are no amounts, and have no line
    free = np.flatnonzero(spread > 0)
    if len(free) < 2 or units < _ROWS_PER_COLUMN * len(free):
        return none, reference
    x = (reference.values[:, free] - centre[free]) / spread[free]
    inverse = np.linalg.inv(x.T @ x + _RIDGE * n * np.eye(len(free)))
    own = np.diag(inverse)
    unexplained = 1 / (own * n)
    keep = (unexplained >= _LEAST_UNEXPLAINED) & (unexplained <= _MOST_UNEXPLAINED)
    if not keep.any():
        return none, reference
    if entities is not None and units < n:
        residuals = without_own_entity(x, inverse, entities)
        keep &= residuals.var(axis=0) <= _MOST_UNEXPLAINED
        if not keep.any():
            return none, reference
        residuals = residuals[:, keep]
    else:
        projected = x @ inverse
        leverage = (projected * x).sum(axis=1)[:, np.newaxis] - projected**2 / own + 1 / n
        residuals = (projected / own / np.maximum(1 - leverage, 1 / n))[:, keep]
    size = residuals.std(axis=0)
    weights = np.zeros((d, int(keep.sum())))
    weights[free] = (inverse / own / spread[free][:, np.newaxis])[:, keep] / size
    kept = tuple(reference.names[i] for i in free[keep])
    return Relations(reference.names, kept, centre, weights), _append(
        reference, kept, residuals / size
    )


def _append(rows: Columns, kept: tuple[str, ...], residuals: NDArray[np.float64]) -> Columns:
    return rows.join(tuple(name + GIVEN for name in kept), residuals) if kept else rows
