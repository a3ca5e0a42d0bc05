"""One-sided bounds of the difference between two models on the same rows, dependent or not.

Sources:
    T. Tango (1998), Statistics in Medicine 17: the interval of paired proportions.
    B. Efron (1987), J. Am. Stat. Assoc. 82: BCa.
    J. N. K. Rao, A. J. Scott (1992), Biometrics 48: counts of dependent rows by design effect.
    L. Kish (1965), Survey Sampling, ch. 5: the design effect of clusters of unequal size.
    E. L. Korn, B. I. Graubard (1998), Survey Methodology 24: Student's t for an estimated effect.
    H. R. Künsch (1989), Annals of Statistics 17: blocks of rows that depend on each other in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
from scipy import sparse, stats
from scipy.sparse import csgraph

from mlops.core.intervals import bootstrap
from mlops.core.paired import count
from mlops.core.tango import cautious_tango

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.reach import Spread


@dataclass(frozen=True)
class Bounds:
    """One-sided bounds of a difference, each at level alpha.

    Attributes:
        estimate: the difference observed.
        lower: with probability 1 - alpha the truth is above.
        upper: with probability 1 - alpha the truth is below.
        design_effect: how many dependent rows are worth one independent one; 1 where none repeat.
        method: how they were made, in words.
        one: what their reach is made of, if not of the estimate's error alone.
    """

    estimate: float
    lower: float
    upper: float
    design_effect: float
    method: str
    one: Spread | None = None


class Resampling(TypedDict):
    """Keywords of every bound.

    Attributes:
        alpha: level of each side.
        resamples: of the bootstrap.
        seed: of the resampling.
    """

    alpha: float
    resamples: int
    seed: int


def accuracy_bounds(
    difference_N: NDArray[np.int64],
    key_N: NDArray[np.uint64],
    **how: Unpack[Resampling],
) -> Bounds:
    """Bound the difference in accuracy: Tango's interval, wider where rows depend on each other.

    Where keys repeat, the wider of two is taken on each side: Tango's on counts divided by the
    design effect (Rao and Scott 1992; see `tango_over_keys`), and a bootstrap over keys, which
    alone has no width when the models never differ.

    Args:
        difference_N: candidate right minus champion right, int64 (N,).
        key_N: split keys, uint64 (N,); rows of one key may depend on each other.
        how: level, resamples and seed.
    """
    counts, groups = count(difference_N), len(np.unique(key_N))
    if groups == counts.rows:
        lower, upper = cautious_tango(counts.gained, counts.lost, counts.rows, how["alpha"])
        return Bounds(counts.difference, lower, upper, 1.0, "Tango's score interval")
    lower, upper, effect = tango_over_keys(difference_N, key_N, how["alpha"])
    drawn = mean_bounds(difference_N.astype(np.float64), key_N, **how)
    low, high = min(lower, drawn.lower), max(upper, drawn.upper)
    words = "the wider of Tango's interval under the design effect and a bootstrap over keys"
    return Bounds(counts.difference, low, high, effect, words)


def tango_over_keys(
    difference_N: NDArray[np.int64], key_N: NDArray[np.uint64], alpha: float
) -> tuple[float, float, float]:
    """Return Tango's bounds on counts divided by the design effect, and that effect.

    The effect is an estimate from so many keys, hence Student's t in place of the normal quantile
    (Korn and Graubard 1998). With 200 keys of five rows, 30 % of them differing, a margin of 3
    points promotes at the boundary 2.14 % of the time instead of 2.21 %, at a level of 2.5 %
    (150,000 simulations).

    Args:
        difference_N: candidate right minus champion right, int64 (N,).
        key_N: uint64 (N,): rows of one key may depend on each other.
        alpha: level of each bound.
    """
    counts, groups = count(difference_N), len(np.unique(key_N))
    effect = cautious_effect(difference_N.astype(np.float64), key_N)
    if groups > 1:
        alpha = float(stats.norm.sf(stats.t.isf(alpha, groups - 1)))
    lower, upper = cautious_tango(
        counts.gained / effect, counts.lost / effect, counts.rows / effect, alpha
    )
    return lower, upper, effect


def cautious_effect(value_N: NDArray[np.float64], key_N: NDArray[np.uint64]) -> float:
    """Return the design effect as if half a key more were seen that agrees in all its rows.

    As `cautious_tango` moves half a row: of keys that are lost or gained whole, few are seen, and
    rows that differ alone beside them look independent. Without it 300 rows in 30 blocks promote
    at a margin of 3 points five times as often as alpha, and keys of very unequal size ten times.

    Args:
        value_N: float64 (N,).
        key_N: uint64 (N,): rows of one key may depend on each other.
    """
    clustered, independent = _squares(value_N, key_N)
    _, size_G = clusters(value_N, key_N)
    whole = float((size_G**2).sum()) / len(value_N)  # Kish: the effect if rows of a key are copies
    cautious = (clustered + whole**2 / 2.0) / (independent + whole / 2.0)
    return max(design_effect(value_N, key_N), cautious)


def design_effect(value_N: NDArray[np.float64], key_N: NDArray[np.uint64]) -> float:
    """Return the variance of the mean over keys, relative to independent rows; at least 1.

    Without any variation it is rows per key: nothing shows that rows of a key are not copies.
    """
    groups, (clustered, independent) = len(np.unique(key_N)), _squares(value_N, key_N)
    if independent == 0.0 or groups < 2:
        return len(value_N) / groups
    return max(clustered / independent, 1.0)


def mean_bounds(
    value_N: NDArray[np.float64],
    key_N: NDArray[np.uint64],
    **how: Unpack[Resampling],
) -> Bounds:
    """Bound a mean by resampling whole keys (BCa), and no narrower than Student's t over keys.

    Args:
        value_N: one value per row, float64 (N,), all finite.
        key_N: uint64 (N,): rows of one key are drawn together.
        how: level, resamples and seed.
    """
    estimate, (total_G, size_G) = float(value_N.mean()), clusters(value_N, key_N)
    groups, effect = len(size_G), design_effect(value_N, key_N)
    if groups < 2:
        return Bounds(estimate, -math.inf, math.inf, effect, "one key bounds nothing")

    def mean(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean of the rows of the chosen keys, int64 (…, G) → float64 (…)."""
        return np.asarray(total_G[chosen].sum(axis=-1) / size_G[chosen].sum(axis=-1))

    drawn = bootstrap(
        lambda chosen: float(mean(chosen)), groups, confidence=1.0 - 2.0 * how["alpha"],
        resamples=how["resamples"], seed=how["seed"], many=mean,
    )  # fmt: skip
    spread = ((total_G - estimate * size_G) ** 2).sum() * groups / (groups - 1)
    reach = float(stats.t.isf(how["alpha"], groups - 1)) * math.sqrt(spread) / len(value_N)
    lower, upper = min(drawn.low, estimate - reach), max(drawn.high, estimate + reach)
    return Bounds(estimate, lower, upper, effect, "bootstrap over keys (BCa)")


def dependent(
    key_N: NDArray[np.uint64], observed_s: NDArray[np.float64], block_s: float
) -> NDArray[np.uint64]:
    """Return one number per set of rows that may depend on each other, uint64 (N,).

    Rows of one key do; where `block_s` is above 0, so do rows of one stretch of time, and
    whatever these chain together. A stretch (Künsch 1989) is longer than `block_s`, because what
    is within that of each other may lie on both sides of an edge: stretches of just `block_s`
    promote at the boundary twice as often as alpha. There are at least two blocks in one, and
    their number grows with the cube root of the blocks, so that edges matter ever less.

    Args:
        key_N: split keys, uint64 (N,).
        observed_s: float64 (N,): seconds since 1970, finite.
        block_s: seconds within which rows depend on each other; 0 for none.
    """
    if block_s <= 0.0 or len(key_N) == 0:
        return key_N
    _, key = np.unique(key_N, return_inverse=True)
    stretch = _stretches(observed_s, block_s)
    keys, most = int(key.max()) + 1, int(stretch.max()) + 1
    links = sparse.coo_matrix(
        (np.ones(len(key_N)), (key, keys + stretch)), shape=(keys + most, keys + most)
    )
    _, part = csgraph.connected_components(links, directed=False)
    return np.asarray(part[key], dtype=np.uint64)


def _stretches(observed_s: NDArray[np.float64], block_s: float) -> NDArray[np.int64]:
    """Number equally long stretches of time of at least two blocks each; one if there are few."""
    since_s = observed_s - observed_s.min()
    blocks = float(since_s.max()) / block_s
    most = max(int(blocks / max(2.0, blocks ** (1.0 / 3.0))), 1)
    if most == 1:
        return np.zeros(len(observed_s), dtype=np.int64)
    number_N = np.minimum(since_s / since_s.max() * most, most - 1)
    return np.asarray(number_N, dtype=np.int64)


def _squares(value_N: NDArray[np.float64], key_N: NDArray[np.uint64]) -> tuple[float, float]:
    """Return the squares about the mean, summed over keys and over rows as if independent."""
    (total_G, size_G), mean = clusters(value_N, key_N), float(value_N.mean())
    groups = len(size_G)
    clustered = float(((total_G - mean * size_G) ** 2).sum()) * groups / max(groups - 1, 1)
    return clustered, float(((value_N - mean) ** 2).sum())


def clusters(
    value_N: NDArray[np.float64], key_N: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum and the number of rows of each key, float64 (G,) each."""
    _, place = np.unique(key_N, return_inverse=True)
    total_G = np.bincount(place, weights=value_N).astype(np.float64)
    return total_G, np.bincount(place).astype(np.float64)
