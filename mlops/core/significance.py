"""How surely each column moved: p-values, adjusted for looking at all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp

from mlops.core.columns import PREDICTED

if TYPE_CHECKING:
    from mlops.core.columns import Columns


def adjusted(reference: Columns, window: Columns) -> dict[str, float]:
    """Return each column's p-value, adjusted by Holm's method (1979); rows taken as independent.

    Kolmogorov and Smirnov's two-sample test for numbers, the chi-squared test of homogeneity for
    the predicted class. They are told to a reader; the alarm itself is the calibrated threshold's.
    """
    found = {
        name: float(ks_2samp(reference.values[:, d], window.values[:, d], method="asymp").pvalue)
        for d, name in enumerate(reference.names)
    }
    width = max(reference.classes, 1)
    table = np.stack([np.bincount(c.predicted, minlength=width) for c in (reference, window)])
    table = table[:, table.sum(axis=0) > 0]
    found[PREDICTED] = float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0
    result, floor = {}, 0.0
    for rank, name in enumerate(sorted(found, key=found.__getitem__)):
        floor = max(floor, min(1.0, (len(found) - rank) * found[name]))
        result[name] = floor
    return result
