"""Two models on the same rows: what their paired right and wrong answers say.

Sources:
    Q. McNemar (1947), Psychometrika 12: the test of two correlated proportions.
    M. W. Fagerland, S. Lydersen, P. Laake (2013), BMC Med. Res. Methodol. 13:91: its mid-p form.
    S. Holm (1979), Scandinavian Journal of Statistics 6: many tests at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core.tango import restricted_variance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Counts:
    """Paired right and wrong answers of two models.

    Attributes:
        rows: pairs.
        gained: rows on which only the candidate is right.
        lost: rows on which only the champion is right.
    """

    rows: int
    gained: int
    lost: int

    @property
    def difference(self) -> float:
        """Accuracy of the candidate minus that of the champion."""
        return (self.gained - self.lost) / self.rows

    @property
    def discordance(self) -> float:
        """Share of rows on which exactly one of the two is right."""
        return (self.gained + self.lost) / self.rows


def count(difference_N: NDArray[np.int64]) -> Counts:
    """Count pairs from `candidate right - champion right` per row, each -1, 0 or 1, shape (N,)."""
    return Counts(len(difference_N), int((difference_N > 0).sum()), int((difference_N < 0).sum()))


def one_per_key(difference_N: NDArray[np.int64], key_N: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the sign of each key's sum, so that rows of one key are one observation, not many."""
    _, place = np.unique(key_N, return_inverse=True)
    return np.sign(np.bincount(place, weights=difference_N)).astype(np.int64)


def mcnemar_p(gained: int, lost: int) -> float:
    """Return the one-sided mid-p value of `the candidate is no better` (McNemar 1947).

    Half of the observed table's probability is left out (Fagerland et al. 2013). No discordant
    row is no evidence: 1.
    """
    discordant = gained + lost
    if discordant == 0:
        return 1.0
    tail = float(stats.binom.sf(gained - 1, discordant, 0.5))
    return tail - 0.5 * float(stats.binom.pmf(gained, discordant, 0.5))


def labels_needed(
    discordance: float, *, alpha: float, power: float, effect: float, margin: float
) -> int:
    """Return the rows that show a true gain of `effect` with the stated power.

    n = (z(1-alpha) √v₀ + z(power) √d)² / (effect + margin)², times the design effect by the
    caller. v₀ is the variance that Tango's test reckons with at the margin's boundary; without a
    margin it is d, the discordance, and n = (z(1-alpha) + z(power))² · d / effect². With one it
    is more: d in its place promised a power of 0.8 and had 0.72 at d = 0.05, margin = 0.03.

    A true gain of `effect` needs as much discordance: less is what few rows happened to show.

    Source: the sample size of T. Tango (1998), Statistics in Medicine 17.
    """
    discordance = max(discordance, effect)
    lost = (discordance - effect) / 2.0
    null = restricted_variance(discordance - lost, lost, 1.0, -margin)
    z_alpha, z_power = float(stats.norm.isf(alpha)), float(stats.norm.ppf(power))
    spread = z_alpha * math.sqrt(max(null, 0.0)) + z_power * math.sqrt(discordance)
    return math.ceil((spread / (effect + margin)) ** 2)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p-values in the order given."""
    order = np.argsort(p_values)
    adjusted, least = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(least, 1.0)
    return tuple(adjusted)
