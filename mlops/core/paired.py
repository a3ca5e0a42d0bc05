"""Two models on the same rows: what their difference can be, and what chance alone explains.

Sources:
    Q. McNemar (1947), Psychometrika 12: the test of two correlated proportions.
    M. W. Fagerland, S. Lydersen, P. Laake (2013), BMC Med. Res. Methodol. 13:91: its mid-p form.
    J. N. K. Rao, A. J. Scott (1992), Biometrics 48: counts of dependent rows by design effect.
    S. Holm (1979), Scandinavian Journal of Statistics 6: many tests at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core.intervals import bootstrap
from mlops.core.tango import cautious_tango

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Bounds:
    """One-sided bounds of a difference, each at level alpha.

    Attributes:
        estimate: the difference observed.
        lower: with probability 1 - alpha the truth is above.
        upper: with probability 1 - alpha the truth is below.
        design_effect: how many dependent rows are worth one independent one; 1 where none repeat.
        method: how they were made, in words.
    """

    estimate: float
    lower: float
    upper: float
    design_effect: float
    method: str


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


def accuracy_bounds(
    difference_N: NDArray[np.int64],
    key_N: NDArray[np.uint64],
    *,
    alpha: float,
    resamples: int,
    seed: int,
) -> Bounds:
    """Bound the difference in accuracy: Tango's interval, wider where rows depend on each other.

    Where keys repeat, the wider of two is taken on each side: Tango's on counts divided by the
    design effect (Rao and Scott 1992), and a bootstrap over keys, which alone has no width when
    the models never differ.

    Args:
        difference_N: candidate right minus champion right, int64 (N,).
        key_N: split keys, uint64 (N,); rows of one key may depend on each other.
        alpha: level of each bound.
        resamples: bootstrap resamples.
        seed: of the resampling.
    """
    counts, groups = count(difference_N), len(np.unique(key_N))
    if groups == counts.rows:
        lower, upper = cautious_tango(counts.gained, counts.lost, counts.rows, alpha)
        return Bounds(counts.difference, lower, upper, 1.0, "Tango's score interval")
    effect = design_effect(difference_N.astype(np.float64), key_N)
    scaled = (counts.gained / effect, counts.lost / effect, counts.rows / effect)
    lower, upper = cautious_tango(*scaled, alpha)
    drawn = mean_bounds(
        difference_N.astype(np.float64), key_N, alpha=alpha, resamples=resamples, seed=seed
    )
    low, high = min(lower, drawn.lower), max(upper, drawn.upper)
    words = "the wider of Tango's interval under the design effect and a bootstrap over keys"
    return Bounds(counts.difference, low, high, effect, words)


def design_effect(value_N: NDArray[np.float64], key_N: NDArray[np.uint64]) -> float:
    """Return the variance of the mean over keys, relative to independent rows; at least 1.

    Without any variation it is rows per key: nothing shows that rows of a key are not copies.
    """
    rows, total_G, size_G = len(value_N), *_clusters(value_N, key_N)
    groups, mean = len(size_G), float(value_N.mean())
    independent = float(((value_N - mean) ** 2).sum())
    if independent == 0.0 or groups < 2:
        return rows / groups
    clustered = float(((total_G - mean * size_G) ** 2).sum()) * groups / (groups - 1)
    return max(clustered / independent, 1.0)


def mean_bounds(
    value_N: NDArray[np.float64],
    key_N: NDArray[np.uint64],
    *,
    alpha: float,
    resamples: int,
    seed: int,
) -> Bounds:
    """Bound a mean by resampling whole keys (BCa), and no narrower than Student's t over keys.

    Args:
        value_N: one value per row, float64 (N,), all finite.
        key_N: uint64 (N,): rows of one key are drawn together.
        alpha: level of each bound.
        resamples: bootstrap resamples.
        seed: of the resampling.
    """
    estimate, (total_G, size_G) = float(value_N.mean()), _clusters(value_N, key_N)
    groups, effect = len(size_G), design_effect(value_N, key_N)
    if groups < 2:
        return Bounds(estimate, -math.inf, math.inf, effect, "one key bounds nothing")
    drawn = bootstrap(
        lambda rows: float(value_N[rows].mean()),
        len(value_N),
        confidence=1.0 - 2.0 * alpha,
        resamples=resamples,
        seed=seed,
        groups=key_N,
    )
    spread = ((total_G - estimate * size_G) ** 2).sum() * groups / (groups - 1)
    reach = float(stats.t.isf(alpha, groups - 1)) * math.sqrt(spread) / len(value_N)
    lower, upper = min(drawn.low, estimate - reach), max(drawn.high, estimate + reach)
    return Bounds(estimate, lower, upper, effect, "bootstrap over keys (BCa)")


def labels_needed(
    discordance: float, *, alpha: float, power: float, effect: float, margin: float
) -> int:
    """Return the rows that show a true gain of `effect` with the stated power.

    n = (z(1-alpha) + z(power))² · d / (effect + margin)², times the design effect by the caller.
    """
    z = float(stats.norm.isf(alpha) + stats.norm.ppf(power))
    return math.ceil(z * z * discordance / (effect + margin) ** 2)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p-values in the order given."""
    order = np.argsort(p_values)
    adjusted, least = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(least, 1.0)
    return tuple(adjusted)


def _clusters(
    value_N: NDArray[np.float64], key_N: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum and the number of rows of each key."""
    _, place = np.unique(key_N, return_inverse=True)
    total_G = np.bincount(place, weights=value_N).astype(np.float64)
    return total_G, np.bincount(place).astype(np.float64)
