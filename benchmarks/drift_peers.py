"""Other people's detectors, beside ours: the same rows, the same columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

from benchmarks import drift_libraries
from mlops.core.drift import Reference, presort, shares, statistics
from mlops.core.smirnov import distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.drift_libraries import Score
    from mlops.core.columns import Columns

ANY, HEADLINE, BONFERRONI = "Evidently, any column", "Evidently, headline", "KS, Bonferroni"
MMD, MEANS = "MMD", "classifier (means)"
_LEVEL = 0.05  # Evidently's default for p-values
_DISTANCE = 0.1  # and for distances
_FEW_ROWS = 1000  # up to which Evidently's defaults are tests, beyond distances
_FEW_VALUES = 5  # up to which it takes numbers for categories
_KERNEL_ROWS = 250  # of the reference in a kernel's sum
_TINY = 1e-300


@dataclass(frozen=True)
class Peer:
    """A reference made ready for the detectors.

    Attributes:
        columns: its rows.
        ready: the same, presorted.
        inverse: of the columns' correlations, (D, D).
    """

    columns: Columns
    ready: Reference
    inverse: NDArray[np.float64]

    @cached_property
    def libraries(self) -> dict[str, Score]:
        """Detectors of open libraries, by name; empty where they are not installed.

        Made when they are asked: the kernels of one cost gigabytes for a reference of 20,000 rows.
        """
        return drift_libraries.prepare(_standard(self, self.columns)[0])


def prepare(reference: Columns) -> Peer:
    """Make a reference ready."""
    values = reference.values
    spread = np.maximum(values.std(axis=0), 1e-9)
    correlation = np.cov(((values - values.mean(axis=0)) / spread).T) + 1e-3 * np.eye(
        values.shape[1]
    )
    return Peer(reference, presort(reference), np.linalg.inv(correlation))


def ks_p_values(peer: Peer, window: Columns) -> NDArray[np.float64]:
    """Return the columns' asymptotic KS p-values, then the classes' chi-square; (D + 1,)."""
    n, m = len(peer.columns), len(window)
    d = distance(peer.ready.ordered, np.sort(window.values.T, axis=1))
    numeric = stats.kstwobign.sf(d * math.sqrt(n * m / (n + m)))
    return np.append(numeric, _chi_square(peer.columns, window))


def _chi_square(reference: Columns, window: Columns) -> float:
    old, new = shares(reference), shares(window)
    table = np.array([old * len(reference), new * len(window)])
    table = table[:, table.sum(axis=0) > 0]
    return (
        float(stats.chi2_contingency(table, correction=False).pvalue) if len(table.T) > 1 else 1.0
    )


def scores(peer: Peer, window: Columns, *, slow: bool) -> dict[str, float]:
    """Return how much each detector sees: the larger, the more drift, for size-adjusted power.

    Evidently's headline says drift when half of the columns have drifted: its score is that of
    the column in the middle, by its own default method.
    """
    p = ks_p_values(peer, window)
    own = evidently_scores(peer, window, p)
    return {
        BONFERRONI: -math.log(max(float(p.min()), _TINY)),
        ANY: float(own.max()),
        HEADLINE: float(np.sort(own)[::-1][math.ceil(len(own) / 2) - 1]),
        MMD: _mmd(peer, window),
        MEANS: _means(peer, window),
        **{
            name: score(_standard(peer, window)[1]) for name, score in peer.libraries.items()
            if slow or name not in drift_libraries.SLOW
        },
    }  # fmt: skip


def evidently_scores(peer: Peer, window: Columns, p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each column's default statistic over its default threshold: drift at 1; (D + 1,)."""
    if len(peer.columns) > _FEW_ROWS:
        return statistics(peer.ready, window) / _DISTANCE
    return np.asarray(np.log(np.maximum(p, _TINY)) / math.log(_LEVEL))


def verdicts(peer: Peer, window: Columns) -> dict[str, bool]:
    """Return what each says at its own defaults: level .05, or a distance of .1."""
    p = ks_p_values(peer, window)
    drifted = evidently_scores(peer, window, p) >= 1.0
    return {
        ANY: bool(drifted.any()),
        HEADLINE: bool(drifted.mean() >= 0.5),
        BONFERRONI: bool(p.min() <= _LEVEL / len(p)),
    }


def _standard(peer: Peer, window: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = peer.columns.values.mean(axis=0)
    spread = np.maximum(peer.columns.values.std(axis=0), 1e-9)
    return (peer.columns.values - mean) / spread, (window.values - mean) / spread


def _mmd(peer: Peer, window: Columns) -> float:
    """Return the biased MMD² with an RBF kernel (Gretton et al., JMLR 13, 2012)."""
    old, new = _standard(peer, window)
    old, new = old[:_KERNEL_ROWS], new[:_KERNEL_ROWS]
    width = 2.0 * old.shape[1]
    parts = [np.exp(-cdist(a, b, "sqeuclidean") / width).mean() for a, b in
             ((old, old), (new, new), (old, new))]  # fmt: skip
    return float(parts[0] + parts[1] - 2 * parts[2])


def _means(peer: Peer, window: Columns) -> float:
    """Return Hotelling's T²: what the best linear classifier of old against new rows sees."""
    old, new = _standard(peer, window)
    gap = new.mean(axis=0) - old.mean(axis=0)
    return float(gap @ peer.inverse @ gap)
