"""One-sided bounds of the difference between two models on the same rows, dependent or not.

Sources:
    T. Tango (1998), Statistics in Medicine 17: the interval of paired proportions.
    B. Efron (1987), J. Am. Stat. Assoc. 82: BCa.
    J. N. K. Rao, A. J. Scott (1992), Biometrics 48: counts of dependent rows by design effect.
    H. R. Künsch (1989), Annals of Statistics 17: blocks of rows that depend on each other in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from scipy import sparse, stats
from scipy.sparse import csgraph

from mlops.core.intervals import bootstrap
from mlops.core.paired import count
from mlops.core.tango import cautious_tango

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.intervals import Statistic


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


class Resampling(TypedDict):
    """Keywords of every bound: its level, the bootstrap's resamples, their seed."""

    alpha: float
    resamples: int
    seed: int


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


def statistic_bounds(
    difference: Statistic,
    key_N: NDArray[np.uint64],
    *,
    alpha: float,
    resamples: int,
    seed: int,
) -> Bounds:
    """Bound a difference that is no mean, such as of balanced accuracies, by BCa over keys.

    Args:
        difference: from row numbers, int64 (M,) with repetitions, to the difference.
        key_N: uint64 (N,): rows of one key are drawn together.
        alpha: level of each bound.
        resamples: bootstrap resamples.
        seed: of the resampling.
    """
    drawn = bootstrap(
        difference, len(key_N), confidence=1.0 - 2.0 * alpha, resamples=resamples, seed=seed,
        groups=key_N,
    )  # fmt: skip
    return Bounds(drawn.value, drawn.low, drawn.high, 1.0, "bootstrap over keys (BCa)")


def dependent(
    key_N: NDArray[np.uint64], observed_s: NDArray[np.float64], block_s: float
) -> NDArray[np.uint64]:
    """Return one number per set of rows that may depend on each other, uint64 (N,).

    Rows of one key do; where `block_s` is above 0, so do rows of one stretch of that many
    seconds, and whatever these chain together (blocks of fixed length: Künsch 1989).

    Args:
        key_N: split keys, uint64 (N,).
        observed_s: float64 (N,): seconds since 1970, finite.
        block_s: length of a block in seconds; 0 for none.
    """
    if block_s <= 0.0:
        return key_N
    _, key = np.unique(key_N, return_inverse=True)
    _, block = np.unique(np.floor(observed_s / block_s), return_inverse=True)
    keys, blocks = int(key.max(initial=-1)) + 1, int(block.max(initial=-1)) + 1
    links = sparse.coo_matrix(
        (np.ones(len(key_N)), (key, keys + block)), shape=(keys + blocks, keys + blocks)
    )
    _, part = csgraph.connected_components(links, directed=False)
    return np.asarray(part[key], dtype=np.uint64)


def _clusters(
    value_N: NDArray[np.float64], key_N: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum and the number of rows of each key."""
    _, place = np.unique(key_N, return_inverse=True)
    total_G = np.bincount(place, weights=value_N).astype(np.float64)
    return total_G, np.bincount(place).astype(np.float64)
