"""Labelled reference rows that losses are learnt on, and how a window's rows stand to them.

The weights that make reference rows like a window's are the odds of a classifier between the two
(Bickel, Brückner and Scheffer, Discriminative learning under covariate shift, 2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.relations import GIVEN
from mlops.core.support import Support, survey, unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.columns import Columns

GROUPS = 8
"""Of keys: each model is fitted without one of them, and judged on it."""
_RIDGE = 0.1  # inverse strength of that of the weights: what chance alone moved has little say
_FARTHEST = 3.0  # standard deviations: one wild value does not decide a row's weight


@dataclass(frozen=True)
class Ground:
    """N labelled reference rows.

    Attributes:
        names: the D columns that rows are seen by.
        numbers: places of those of them that are no codes of names.
        rows: the reference's, (N, D).
        place: (N,), which key each row is of, from 0.
        support: where the reference lies in the columns that are numbers.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    rows: NDArray[np.float64]
    place: NDArray[np.int64]
    support: Support

    @property
    def group(self) -> NDArray[np.int64]:
        """Which group of keys each row is of, from 0; (N,)."""
        return self.place % GROUPS


@dataclass(frozen=True)
class Look:
    """M rows without labels, as the reference sees them.

    Attributes:
        ground: of the reference.
        rows: (M, D).
        weight: of the reference's rows, (N,), that make them like these; their sum is 1.
        blind: share of these that lie beyond the reference, 0 to 1.
    """

    ground: Ground
    rows: NDArray[np.float64]
    weight: NDArray[np.float64]
    blind: float

    @property
    def speaking(self) -> float:
        """How many reference rows speak for these (Kish, Survey sampling, 1965)."""
        return 1.0 / float((self.weight**2).sum())

    def by_key(self, off_N: NDArray[np.float64]) -> float:
        """Return the variance of a weighted mean, from what each key adds to it.

        Args:
            off_N: what each reference row is off by.
        """
        return float((np.bincount(self.ground.place, weights=self.weight * off_N) ** 2).sum())


def lay(rows: Columns, key_N: NDArray[np.uint64]) -> Ground | None:
    """Return what losses are learnt on; None with fewer keys than groups of them.

    Args:
        rows: of the reference, all labelled.
        key_N: equal for rows that resemble each other: they teach and judge together.
    """
    keys, place = np.unique(key_N, return_inverse=True)
    if len(keys) < GROUPS:
        return None
    names = tuple(name for name in rows.names if not name.endswith(GIVEN))
    numbers = tuple(d for d, name in enumerate(names) if name not in rows.named)
    row_ND = _seen(rows, names)
    support = survey(row_ND[:, numbers], place % GROUPS)
    return Ground(names, numbers, row_ND, place, support)


def look(ground: Ground, rows: Columns) -> Look | None:
    """Look at unlabelled rows from a reference; None without rows."""
    if not len(rows):
        return None
    row_MD = _seen(rows, ground.names)
    blind = unsupported(ground.support, row_MD[:, ground.numbers])
    return Look(ground, row_MD, _alike(ground, row_MD), blind)


def _seen(rows: Columns, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the named columns of rows, (N, D)."""
    return rows.values[:, [rows.names.index(name) for name in names]]


def _alike(ground: Ground, row_MD: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights of the reference's rows, (N,), that make them like M others; their sum is 1.

    Odds of a logistic regression: it extends to where rows are rare, and what it cannot see (a
    bend, a code's name) the trees can. Truncated, so that few rows do not speak alone (Ionides,
    Truncated importance sampling, 2008).
    """
    from sklearn.linear_model import LogisticRegression

    at = list(ground.numbers)
    centre, scale = ground.rows[:, at].mean(axis=0), ground.rows[:, at].std(axis=0)
    scale[scale == 0.0] = 1.0
    both = [(row[:, at] - centre) / scale for row in (ground.rows, row_MD)]
    x = np.clip(np.concatenate(both), -_FARTHEST, _FARTHEST)
    count = len(ground.rows)
    line = LogisticRegression(C=_RIDGE, max_iter=200).fit(x, np.arange(len(x)) >= count)
    ratio_N = np.exp(line.decision_function(x[:count])) * count / len(row_MD)
    weight_N = np.minimum(ratio_N, np.sqrt(count))
    return np.asarray(weight_N / weight_N.sum())
