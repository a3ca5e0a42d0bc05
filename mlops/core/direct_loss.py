"""Coverage without labels: a model that learnt on the reference where a regression misses.

A regression has no confidence that tells a right answer from a wrong one. So a second model learns,
on the labelled reference rows, whether a row's target lies between its outer quantiles, from what
can be seen without the label: the monitored columns. What it says of a window's rows, on average,
is their coverage; what it got wrong on those reference rows that are like the window's corrects it.
Where it learnt too little, the correction finds what it missed. Rows that no reference row is near
(`mlops.core.support`) may be right or wrong, all of them: the interval holds both.

Sources: NannyML's documentation, Direct Loss Estimation, which regresses the loss; Yoo and Kweon,
Learning loss for active learning (2019), where a model tells the loss of inputs without labels.
Here the loss is a miss, so it is classified. The weights are the odds of a classifier between
window and reference (Bickel, Brückner and Scheffer, Discriminative learning under covariate shift,
2009), used with a model of the outcome as in Robins, Rotnitzky and Zhao (1994). Where nothing
identifies the outcome it is bounded by what it can be (Manski, Nonparametric bounds on treatment
effects, 1990).

Like every estimate without labels it is blind to concept shift: to noise that no column shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from mlops.core.estimate import Z95, Estimate, variance
from mlops.core.relations import GIVEN
from mlops.core.support import Support, survey, unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.columns import Columns

EACH = 20
"""Least right and least wrong reference rows: from fewer nobody learns where a model misses."""
_GROUPS = 8  # of keys: each model is fitted without one of them, and judged on it
_RIDGE = 0.1  # inverse strength of that of the weights: what chance alone moved has little say
_FARTHEST = 3.0  # standard deviations: one wild value does not decide a row's weight


@dataclass(frozen=True)
class Losses:
    """What N labelled reference rows teach of where their version misses.

    Attributes:
        names: the D columns that rows are seen by.
        numbers: places of those of them that are no codes of names.
        models: of scikit-learn, one for each group of keys, fitted without it; their log-odds are
            of a right answer.
        slope: that with `intercept` makes the log-odds right on rows that no model was fitted on;
            0 where they tell nothing.
        intercept: see `slope`.
        rows: the reference's, (N, D).
        off: (N,), 1 for a right row and 0 for a wrong one, less what a model said that never saw
            its key.
        place: (N,), which key each row is of, from 0.
        support: where the reference lies in the columns that are numbers.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    models: tuple[Any, ...]
    slope: float
    intercept: float
    rows: NDArray[np.float64]
    off: NDArray[np.float64]
    place: NDArray[np.int64]
    support: Support


def learn(rows: Columns, right_N: NDArray[np.float64], key_N: NDArray[np.uint64]) -> Losses | None:
    """Learn from labelled reference rows; None where too few are right, or wrong.

    Args:
        rows: of the reference.
        right_N: 1 for a right answer, 0 for a wrong one, NaN without a label.
        key_N: equal for rows that resemble each other: they teach and judge together.
    """
    known = np.isfinite(right_N)
    right = right_N[known].astype(np.int64)
    keys, place = np.unique(key_N[known], return_inverse=True)
    if len(keys) < _GROUPS or min(right.sum(), (1 - right).sum()) < EACH:
        return None
    group = place % _GROUPS
    if any(np.ptp(right[group != one]) == 0 for one in range(_GROUPS)):
        return None
    names = tuple(name for name in rows.names if not name.endswith(GIVEN))
    row_ND, models, odds_N = _seen(rows, names)[known], [], np.zeros(len(right))
    for one in range(_GROUPS):
        out = group == one
        models.append(_trees().fit(row_ND[~out], right[~out]))
        odds_N[out] = models[-1].decision_function(row_ND[out])
    slope, intercept = _corrected(odds_N, right)
    numbers = tuple(d for d, name in enumerate(names) if name not in rows.named)
    off_N = right - expit(slope * odds_N + intercept)
    support = survey(row_ND[:, numbers], group)
    return Losses(names, numbers, tuple(models), slope, intercept, row_ND, off_N, place, support)


def estimate(known: Losses, rows: Columns) -> Estimate | None:
    """Estimate the coverage of unlabelled rows; None without rows.

    The interval of 95 % has the noise of as many labels, and that of the reference rows that speak
    for these: by their effective number (Kish, Survey sampling, 1965), or, if that is more, by what
    the model is off by, added up by key. It holds no error of the weights themselves. Of the share
    of rows that lie beyond the reference, it holds that all are wrong, and that all are right.
    """
    if not len(rows):
        return None
    row_ND = _seen(rows, known.names)
    weight_N = _alike(known, row_ND)
    said = float(np.mean([_said(known, model, row_ND) for model in known.models]))
    value = min(max(said + float(weight_N @ known.off), 0.0), 1.0)
    by_key = np.bincount(known.place, weights=weight_N * known.off)
    speaking = variance(value, 1.0 / float((weight_N**2).sum()))
    noise = variance(value, len(row_ND)) + max(speaking, float((by_key**2).sum()))
    reach = Z95 * float(np.sqrt(noise))
    low, high = max(value - reach, 0.0), min(value + reach, 1.0)
    blind = unsupported(known.support, row_ND[:, known.numbers])
    return Estimate(value, (1.0 - blind) * low, (1.0 - blind) * high + blind)


def _said(known: Losses, model: Any, row_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a model says of each row: the probability that its answer is right."""
    odds = model.decision_function(row_ND)
    return np.asarray(expit(known.slope * odds + known.intercept))


def _seen(rows: Columns, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the named columns of rows, (N, D)."""
    return rows.values[:, [rows.names.index(name) for name in names]]


def _alike(known: Losses, row_MD: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights of the reference's rows, (N,), that make them like M others; their sum is 1.

    Odds of a logistic regression: it extends to where rows are rare, and what it cannot see (a
    bend, a code's name) the trees can. Truncated, so that few rows do not speak alone (Ionides,
    Truncated importance sampling, 2008).
    """
    from sklearn.linear_model import LogisticRegression

    at = list(known.numbers)
    centre, scale = known.rows[:, at].mean(axis=0), known.rows[:, at].std(axis=0)
    scale[scale == 0.0] = 1.0
    both = [(row[:, at] - centre) / scale for row in (known.rows, row_MD)]
    x = np.clip(np.concatenate(both), -_FARTHEST, _FARTHEST)
    count = len(known.rows)
    line = LogisticRegression(C=_RIDGE, max_iter=200).fit(x, np.arange(len(x)) >= count)
    ratio_N = np.exp(line.decision_function(x[:count])) * count / len(row_MD)
    weight_N = np.minimum(ratio_N, np.sqrt(count))
    return np.asarray(weight_N / weight_N.sum())


def _corrected(odds_N: NDArray[np.float64], right_N: NDArray[np.int64]) -> tuple[float, float]:
    """Return the slope and intercept of log-odds that are right; slope 0 if they tell nothing.

    Source: Platt, Probabilistic outputs for support vector machines (1999).
    """
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e3).fit(odds_N[:, None], right_N)
    slope = float(line.coef_[0, 0])
    if slope > 0.0:
        return slope, float(line.intercept_[0])
    share = float(right_N.mean())
    return 0.0, float(np.log(share / (1 - share)))


def _trees() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=30, max_depth=3, min_samples_leaf=40, max_bins=32, early_stopping=False,
        random_state=0,
    )  # fmt: skip
