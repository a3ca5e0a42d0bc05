"""What a classifier's order of the rows is worth: areas under the ROC and the PR curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]


class Ranking:
    """Mean one-versus-rest areas of many resamples of the same rows.

    ROC: each class's area is the normalised Mann-Whitney U statistic, ties counting half (Hanley
    & McNeil 1982). PR: average precision, Σ (R_t − R_t₋₁) P_t over the distinct scores, without
    the interpolation that flatters (Davis & Goadrich, The relationship between precision-recall
    and ROC curves, 2006; Boyd, Eng & Page 2013).

    The scores are sorted once; a resample only changes how often each row counts. Both areas are
    sums over the positives, each row being that of one class; the rest enter by their number
    below and within the positive's run of equal scores.

    Args:
        labels: int64 (N,).
        probabilities: float (N, K).
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        probabilities: NDArray[np.float64] | NDArray[np.float32],
    ) -> None:
        n, self._classes = probabilities.shape
        order = np.argsort(probabilities, axis=0, kind="stable").T
        ordered = np.take_along_axis(probabilities.T, order, axis=1).ravel()
        # One flat list, class after class, each from its lowest score to its highest.
        self._flat = np.ascontiguousarray(order).ravel()
        starts = np.ones(n * self._classes, dtype=bool)
        starts[1:] = ordered[1:] != ordered[:-1]
        starts[::n] = True
        begin = np.flatnonzero(starts)
        end = np.append(begin[1:], len(starts))
        run = np.cumsum(starts) - 1
        spot = np.flatnonzero(labels[self._flat] == np.repeat(np.arange(self._classes), n))
        self._row = self._flat[spot]
        self._class = spot // n
        self._begin, self._end = begin[run[spot]], end[run[spot]]
        # The same runs, counted in positives only.
        self._first = np.searchsorted(spot, self._begin)
        self._last = np.searchsorted(spot, self._end)

    def roc_auc(self, counts_N: Counts | None = None) -> float:
        """Return the mean area over the classes that occur; NaN if fewer than two do.

        Args:
            counts_N: how often each row counts; once each if not given.
        """
        return self.areas(counts_N)[0]

    def pr_auc(self, counts_N: Counts | None = None) -> float:
        """Return the mean average precision over the classes that occur; NaN if only one does.

        Args:
            counts_N: how often each row counts; once each if not given.
        """
        return self.areas(counts_N)[1]

    def areas(self, counts_N: Counts | None = None) -> tuple[float, float]:
        """Return both areas at once, which costs little more than one."""
        n = len(self._row)
        counts = np.ones(n, dtype=np.int64) if counts_N is None else counts_N
        # 32 bits hold the sum of all counts and halve the memory that is walked through.
        every = _sums(counts.astype(np.int32)[self._flat])
        own = counts[self._row]
        positives = _sums(own)
        total = int(own.sum())
        offset = self._class * total
        below, within = every[self._begin], every[self._end]
        of_class = np.bincount(self._class, own, minlength=self._classes)
        earlier = np.cumsum(of_class) - of_class
        own_below, own_within = positives[self._first], positives[self._last]
        zeros = below - offset - (own_below - earlier[self._class])
        tied = (within - below) - (own_within - own_below)
        u = np.bincount(self._class, own * (zeros + tied / 2.0), minlength=self._classes)
        pairs = of_class * (total - of_class)
        hits = of_class[self._class] - (own_below - earlier[self._class])
        named = total - (below - offset)
        precise = own * hits / np.maximum(named, 1)
        precision = np.bincount(self._class, precise, minlength=self._classes)
        known = pairs > 0
        if not known.any():
            return float("nan"), float("nan")
        return (
            float(np.mean(u[known] / pairs[known])),
            float(np.mean(precision[known] / of_class[known])),
        )


def _sums(counts: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sums of the first 0, 1, …, N counts, int64 (N + 1,)."""
    out = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=out[1:])
    return out
