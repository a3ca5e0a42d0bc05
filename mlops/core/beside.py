"""How far a shadow's answers agree with those that were served for the same rows: numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.core.schema import QUANTILES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_MIDDLE = len(QUANTILES) // 2


def agreed(said: Floats, served: Floats, *, classes: bool) -> NDArray[np.bool_]:
    """Return of each row, (N,), whether a shadow agrees; it does not with what is no number.

    Of classes the likeliest must be the same. A regression's median must lie within the served
    outer quantiles: a number is hardly ever the same, and the largest is always the last one.

    Args:
        said: of the shadow, (N, classes) or (N, quantiles).
        served: of the version in service, likewise.
        classes: whether these are probabilities of classes; else they are quantiles.
    """
    finite = np.isfinite(said).all(axis=1)
    if classes:
        return np.asarray(finite & (said.argmax(axis=1) == served.argmax(axis=1)))
    middle = said[:, _MIDDLE]
    return np.asarray(finite & (served[:, 0] <= middle) & (middle <= served[:, -1]))


def apart(said: Floats, served: Floats) -> float | None:
    """Return the mean absolute difference of a regression's medians; None without numbers."""
    far = np.abs(said[:, _MIDDLE].astype(np.float64) - served[:, _MIDDLE])
    far = far[np.isfinite(far)]
    return float(far.mean()) if len(far) else None
