"""Coverage without labels: models that learnt on the reference where a regression misses.

A regression has no confidence that tells a right answer from a wrong one. So models learn, on the
labelled reference rows, whether a row's target lies between its outer quantiles, from what can be
seen without the label: the monitored columns. What they say of a window's rows, on average, is its
estimated coverage. Sources: NannyML's documentation, Direct Loss Estimation, which regresses the
loss; Yoo and Kweon, Learning loss for active learning (2019), which lets a model tell the loss of
inputs without labels. Here the loss is a miss, so it is classified.

Like every estimate without labels it is blind to concept shift (noise that no column shows), and
it knows nothing of regions that the reference has no rows of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from mlops.core.estimate import Z95, Estimate, variance
from mlops.core.relations import GIVEN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mlops.core.columns import Columns

EACH = 20
"""Least right and least wrong reference rows: from fewer nobody learns where a model misses."""
_GROUPS = 8  # of keys: each model is fitted without one of them, and judged on it
_BINS = 10
_SHRINK = 0.03  # inverse strength of the ridge of the logistic regression
_FARTHEST = 3.0  # standard deviations; the logistic regression goes on no farther


@dataclass(frozen=True)
class _Learner:
    """Models of one family, one for each of the K groups of keys, fitted without it.

    Attributes:
        at: places of the D columns that it looks at.
        models: of scikit-learn; their log-odds are of a right answer.
        slope: that with `intercept` makes the log-odds right on rows that no model was fitted on;
            0 where they tell nothing.
        intercept: see `slope`.
        means: (K,), what each model says of the whole reference.
        edges: between the B bins of answers.
        shares: (B,), of the reference's rows in each bin.
        gap: variance of the bins' calibration errors, beyond chance.
    """

    at: tuple[int, ...]
    models: tuple[Any, ...]
    slope: float
    intercept: float
    means: NDArray[np.float64]
    edges: NDArray[np.float64]
    shares: NDArray[np.float64]
    gap: float

    def says(self, row_ND: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each model's probability that each row is right, (K, N)."""
        odds_KN = np.stack([model.decision_function(row_ND[:, self.at]) for model in self.models])
        return np.asarray(expit(self.slope * odds_KN + self.intercept))


@dataclass(frozen=True)
class Losses:
    """What a reference teaches of where its version misses.

    Attributes:
        names: the D columns that rows are seen by.
        coverage: of the reference.
        rates: (K,), the same without each group of keys.
        learners: families of models, which take each other's place.
    """

    names: tuple[str, ...]
    coverage: float
    rates: NDArray[np.float64]
    learners: tuple[_Learner, ...]


def learn(rows: Columns, right_N: NDArray[np.float64], key_N: NDArray[np.uint64]) -> Losses | None:
    """Learn from labelled reference rows; None where too few are right, or wrong.

    Two families learn: boosted trees, which see bends and what columns do together, and a
    logistic regression, which goes on where rows are rare. Rows of one key are in one group.

    Args:
        rows: of the reference.
        right_N: 1 for a right answer, 0 for a wrong one, NaN without a label.
        key_N: equal for rows that resemble each other.
    """
    known = np.isfinite(right_N)
    right = right_N[known].astype(np.int64)
    keys, place = np.unique(key_N[known], return_inverse=True)
    if len(keys) < _GROUPS or min(right.sum(), (1 - right).sum()) < EACH:
        return None
    group_N = place % _GROUPS
    kept = [right[group_N != group] for group in range(_GROUPS)]
    if any(np.ptp(k) == 0 for k in kept):
        return None
    names = tuple(name for name in rows.names if not name.endswith(GIVEN))
    row_ND = _seen(rows, names)[known]
    numbers = tuple(d for d, name in enumerate(names) if name not in rows.named)
    learners = (
        _fit(row_ND, right, group_N, tuple(range(len(names))), _trees),
        _fit(row_ND, right, group_N, numbers, _logit),
    )
    rates = np.array([k.mean() for k in kept])
    return Losses(names, float(right.mean()), rates, learners)


def estimate(known: Losses, rows: Columns) -> Estimate | None:
    """Estimate the coverage of unlabelled rows; None without rows.

    The reference's coverage, moved by how far the models' answers moved; the mean of the families.
    The interval of 95 % spans both, each with the noise of as many labels, the reference's noise
    (delete-a-group jackknife: Kott 2001) and the models' calibration error, which counts as far as
    the rows lie elsewhere than the reference's. Where the families disagree, neither can be
    trusted to more.
    """
    if not len(rows):
        return None
    row_ND = _seen(rows, known.names)
    told = [_told(known, one, row_ND) for one in known.learners]
    return Estimate(
        float(np.mean([value for value, _ in told])),
        max(min(value - reach for value, reach in told), 0.0),
        min(max(value + reach for value, reach in told), 1.0),
    )


def _seen(rows: Columns, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the named columns of rows, (N, D)."""
    return rows.values[:, [rows.names.index(name) for name in names]]


def _told(known: Losses, one: _Learner, row_ND: NDArray[np.float64]) -> tuple[float, float]:
    """Return one family's estimate, and how far it may be off at 95 %."""
    right_KN = one.says(row_ND)
    moved_K = right_KN.mean(axis=1) - one.means
    value = min(max(known.coverage + float(moved_K.mean()), 0.0), 1.0)
    without_K = known.rates + moved_K
    groups = len(without_K)
    reference = (groups - 1) / groups * float(((without_K - without_K.mean()) ** 2).sum())
    elsewhere = _shares(right_KN.mean(axis=0), one.edges) - one.shares
    calibration = one.gap * float((elsewhere**2).sum())
    return value, Z95 * float(np.sqrt(variance(value, len(row_ND)) + reference + calibration))


def _fit(
    row_ND: NDArray[np.float64],
    right_N: NDArray[np.int64],
    group_N: NDArray[np.int64],
    at: tuple[int, ...],
    made: Callable[[], Any],
) -> _Learner:
    """Fit a family, and correct its log-odds by what each model says of the group it lacked.

    Source of the correction: Platt, Probabilistic outputs for support vector machines (1999).
    """
    models, odds_N = [], np.zeros(len(right_N))
    for group in range(_GROUPS):
        out = group_N == group
        models.append(made().fit(row_ND[~out][:, at], right_N[~out]))
        odds_N[out] = models[-1].decision_function(row_ND[out][:, at])
    slope, intercept = _corrected(odds_N, right_N)
    answer_N = expit(slope * odds_N + intercept)
    edges = np.unique(np.quantile(answer_N, np.arange(1, _BINS) / _BINS))
    whole_K = [expit(slope * m.decision_function(row_ND[:, at]) + intercept).mean() for m in models]
    return _Learner(
        at, tuple(models), slope, intercept, np.array(whole_K), edges,
        _shares(answer_N, edges), _gap(answer_N, right_N, edges),
    )  # fmt: skip


def _corrected(odds_N: NDArray[np.float64], right_N: NDArray[np.int64]) -> tuple[float, float]:
    """Return the slope and intercept of log-odds that are right; slope 0 if they tell nothing."""
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e3).fit(odds_N[:, None], right_N)
    slope = float(line.coef_[0, 0])
    if slope > 0.0:
        return slope, float(line.intercept_[0])
    share = float(right_N.mean())
    return 0.0, float(np.log(share / (1 - share)))


def _gap(
    answer_N: NDArray[np.float64], right_N: NDArray[np.int64], edges: NDArray[np.float64]
) -> float:
    """Return the mean square of the bins' calibration errors, less what chance alone makes of it.

    Source: Kumar, Liang & Ma, Verified uncertainty calibration (2019), the debiased estimator.
    """
    place, bins = np.searchsorted(edges, answer_N, side="right"), len(edges) + 1
    size = np.bincount(place, minlength=bins)
    off = np.bincount(place, weights=right_N - answer_N, minlength=bins)
    chance = np.bincount(place, weights=answer_N * (1 - answer_N), minlength=bins)
    return max(float(((off**2 - chance) / np.maximum(size, 1)).sum() / size.sum()), 0.0)


def _shares(answer_N: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    place = np.searchsorted(edges, answer_N, side="right")
    return np.asarray(np.bincount(place, minlength=len(edges) + 1) / len(answer_N))


def _trees() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=30, max_depth=3, min_samples_leaf=40, max_bins=32, early_stopping=False,
        random_state=0,
    )  # fmt: skip


def _logit() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    near = FunctionTransformer(np.clip, kw_args={"a_min": -_FARTHEST, "a_max": _FARTHEST})
    return make_pipeline(StandardScaler(), near, LogisticRegression(C=_SHRINK, max_iter=200))
