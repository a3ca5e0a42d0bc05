"""Losses without labels: models that learnt on the reference where a regression is off.

A regression has no confidence that tells a right answer from a wrong one. So a second model learns,
on the labelled reference rows, the loss of a row's answer from what can be seen without the label:
the monitored columns. What it says of a window's rows, on average, is their loss; what it got wrong
on those reference rows that are like the window's corrects it. Where it learnt too little, the
correction finds what it missed. Rows that no reference row is near (`mlops.core.support`) may lose
anything: the intervals hold that. Which loss it is, is its kind: a miss (`mlops.core.direct_miss`),
or the absolute error (`mlops.core.direct_error`).

Sources: NannyML's documentation, Direct Loss Estimation, which regresses the loss; Yoo and Kweon,
Learning loss for active learning (2019), where a model tells the loss of inputs without labels. The
weights are used with a model of the outcome as in Robins, Rotnitzky and Zhao (1994). Each row is
judged by a model that never saw its key (Chernozhukov et al., Double machine learning, 2018).

Like every estimate without labels it is blind to concept shift: to noise that no column shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.ground import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.core.ground import Ground, Look

    Floats = NDArray[np.float64]

LEAST = 20
"""Reference rows, at least, whose answers are off; and as many that do not miss."""


@dataclass(frozen=True)
class Kind:
    """A kind of loss, and how it is learnt.

    Attributes:
        trees: makes a model of scikit-learn.
        score: what a model says of rows, on the scale on which a line corrects it.
        line: slope and intercept that make scores right, given them and the losses; slope 0 where
            the scores tell nothing.
        mean: the expected loss, of a corrected score.
    """

    trees: Callable[[], Any]
    score: Callable[[Any, Floats], Floats]
    line: Callable[[Floats, Floats], tuple[float, float]]
    mean: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Losses:
    """What N labelled reference rows teach of a loss of their version.

    Attributes:
        kind: of the loss.
        models: of scikit-learn, one for each group of keys, fitted without it.
        slope: that with `intercept` makes scores right on rows that no model was fitted on; 0 where
            they tell nothing.
        intercept: see `slope`.
        loss: (N,), of the reference's rows.
        said: (N,), what a model said of them that never saw their key.
        unit: what a loss of 1 is worth, in the unit that it is told in.
    """

    kind: Kind
    models: tuple[Any, ...]
    slope: float
    intercept: float
    loss: Floats
    said: Floats
    unit: float = 1.0

    @property
    def off(self) -> Floats:
        """What was said of each reference row too little; (N,)."""
        return self.loss - self.said

    def of(self, seen: Look) -> float:
        """Return what a window's rows lose on average: as said of them, corrected."""
        scores = [self.kind.score(model, seen.rows) for model in self.models]
        said = [self.kind.mean(self.slope * score_M + self.intercept) for score_M in scores]
        return float(np.mean(said)) + float(seen.weight @ self.off)


def fit(kind: Kind, ground: Ground, loss_N: Floats) -> Losses:
    """Learn a loss, each group of keys judged by a model that never saw it.

    Args:
        kind: of the loss.
        ground: the reference's rows.
        loss_N: of these.
    """
    models, score_N = [], np.zeros(len(loss_N))
    for one in range(GROUPS):
        out = ground.group == one
        models.append(kind.trees().fit(ground.rows[~out], loss_N[~out]))
        score_N[out] = kind.score(models[-1], ground.rows[out])
    slope, intercept = kind.line(score_N, loss_N)
    said_N = kind.mean(slope * score_N + intercept)
    return Losses(kind, tuple(models), slope, intercept, loss_N, said_N)


SIZES = {
    "max_iter": 30, "max_depth": 3, "min_samples_leaf": 40, "max_bins": 32,
    "early_stopping": False, "random_state": 0,
}  # fmt: skip
"""Of the trees: small ones, for a reference is."""
