"""All columns of an embedding at once: shifts in a direction that none of them shows alone.

The two-sample test of the best linear classifier: how far apart the means of window and reference
lie in the direction in which Fisher's discriminant tells them apart best. That is the root of
Hotelling's T² without its factor of sample sizes: a distance in standard deviations, as that of the
columns. A classifier that is learnt could not be learnt anew for each of the thousands of clean
windows that a threshold is calibrated on.

Source: H. Hotelling, The generalization of Student's ratio, 1931; D. Lopez-Paz and M. Oquab,
Revisiting classifier two-sample tests, 2017; I. Kim, A. Ramdas, A. Singh and L. Wasserman,
Classification accuracy as a proxy for two-sample testing, Annals of Statistics 49, 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.columns import Columns

_RANK = 1e-9  # of the largest variance; below it a direction is rounding error


@dataclass(frozen=True)
class Joint:
    """What makes columns comparable: whitened, a clean row has variance 1 in every direction.

    Attributes:
        places: of the E columns among the D.
        centre: float64, (E,): their means in the reference.
        whiten: float64, (E, R): a centred row times these is the row in R directions.
    """

    places: tuple[int, ...]
    centre: NDArray[np.float64]
    whiten: NDArray[np.float64]

    def rows(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return rows (N, D) in the directions; float64, (N, R)."""
        found: NDArray[np.float64] = (values[:, self.places] - self.centre) @ self.whiten
        return found

    def distance(self, values: NDArray[np.float64]) -> float:
        """Return how far the mean of rows (N, D) lies from the reference's, in sd."""
        return float(np.linalg.norm(self.rows(values).mean(axis=0)))


def learn_joint(reference: Columns) -> Joint | None:
    """Return what a reference's embedding is judged by as one; None where it has none.

    Args:
        reference: its rows.
    """
    places = reference.embedded_at
    if not places or len(reference) < 2:
        return None
    values = reference.values[:, places]
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(values.T)))
    kept = variance > max(_RANK * variance[-1], 1e-24)
    if not kept.any():
        return None
    return Joint(places, values.mean(axis=0), axes[:, kept] / np.sqrt(variance[kept]))
