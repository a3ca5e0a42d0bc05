"""Coverage without labels: how often a regression's target lies outside its outer quantiles.

The loss that is learnt (`mlops.core.direct_loss`) is a miss, so it is classified, and the log-odds
are corrected (Platt, Probabilistic outputs for support vector machines, 1999). Where nothing
identifies the outcome it is bounded by what it can be (Manski, Nonparametric bounds on treatment
effects, 1990): rows beyond the reference may be right or wrong, all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from mlops.core.direct_loss import LEAST, SIZES, Kind, Losses, fit
from mlops.core.estimate import Z95, Estimate, variance
from mlops.core.ground import GROUPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.ground import Ground, Look


def learn(ground: Ground, right_N: NDArray[np.float64]) -> Losses | None:
    """Learn where answers miss; None where too few of them are right, or wrong.

    Args:
        ground: the reference's labelled rows.
        right_N: of these: 1 for a right answer, 0 for a wrong one.
    """
    miss_N = 1.0 - right_N
    if min(miss_N.sum(), right_N.sum()) < LEAST:
        return None
    if any(np.ptp(miss_N[ground.group != one]) == 0.0 for one in range(GROUPS)):
        return None
    return fit(_MISS, ground, miss_N)


def estimate(known: Losses, seen: Look) -> Estimate:
    """Estimate the coverage of unlabelled rows.

    The interval of 95 % has the noise of as many labels, and that of the reference rows that speak
    for these: by their effective number, or, if that is more, by what the model is off by, added up
    by key. It holds no error of the weights themselves. Of the share of rows that lie beyond the
    reference, it holds that all are wrong, and that all are right.
    """
    value = 1.0 - min(max(known.of(seen), 0.0), 1.0)
    speaking = max(variance(value, seen.speaking), seen.by_key(known.off))
    reach = Z95 * float(np.sqrt(variance(value, len(seen.rows)) + speaking))
    low, high = max(value - reach, 0.0), min(value + reach, 1.0)
    return Estimate(value, (1.0 - seen.blind) * low, (1.0 - seen.blind) * high + seen.blind)


def _corrected(odds_N: NDArray[np.float64], miss_N: NDArray[np.float64]) -> tuple[float, float]:
    """Return the slope and intercept of log-odds that are right."""
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e3).fit(odds_N[:, None], miss_N)
    slope = float(line.coef_[0, 0])
    if slope > 0.0:
        return slope, float(line.intercept_[0])
    share = float(miss_N.mean())
    return 0.0, float(np.log(share / (1.0 - share)))


def _trees() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**SIZES)


def _odds(model: Any, row_MD: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(model.decision_function(row_MD))


_MISS = Kind(_trees, _odds, _corrected, expit)
