"""Worlds in which a candidate loses just a guardrail's margin, where it is easily missed.

The loss lies on few rows, or on the rarest class. Rows are single, or alike in keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from benchmarks.gate_levels import ALIKE
from mlops.core import metrics
from mlops.core.exam import Paired
from mlops.core.noninferiority import NAMED

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Draw = Callable[[int], NDArray[np.generic]]

MIXES = {
    "2 classes, 1 of 10": (0.9, 0.1), "3 classes, 1 of 20": (0.7, 0.25, 0.05),
    "10 classes": (0.1,) * 10,
}  # fmt: skip
_RIGHT = 0.9  # of the champion's answers, and its area under the ROC curve


@dataclass(frozen=True)
class Setting:
    """What one cell simulates.

    Attributes:
        metric: a key of `NAMED`.
        margin: of the guardrail, which is the true loss, too.
        rows: labelled ones.
        each: rows of one key.
        on: share of the rows that the loss lies on; or the mix of classes, the rarest having it.
    """

    metric: str
    margin: float
    rows: int
    each: int
    on: float | str

    @property
    def words(self) -> str:
        """The setting in words, the metric first."""
        where = self.on if isinstance(self.on, str) else f"on {100 * self.on:.0f} % of them"
        keys = "" if self.each == 1 else f" in keys of {self.each}"
        name = NAMED[self.metric].words
        return f"{name}: {self.rows} rows{keys}, margin {self.margin:g}, {where}"


def _rows(
    label_N: NDArray[np.generic], ours: NDArray[np.float32], theirs: NDArray[np.float32], each: int
) -> Paired:
    key_N = (np.arange(len(label_N)) // each).astype(np.uint64)
    return Paired(label_N, ours, theirs, key_N, np.zeros(len(label_N)))


def maker(setting: Setting) -> Callable[[np.random.Generator], Paired]:
    """Return what draws one replicate of a cell."""
    if setting.metric == "roc_auc":
        return partial(_ranked, setting)
    if setting.metric in ("balanced_accuracy", "f1_macro"):
        return partial(_classes, setting, _lost(setting))
    return partial(_numbers if setting.metric == "base_mae" else _losses, setting)


def _alike(rng: np.random.Generator, setting: Setting, draw: Draw) -> NDArray[np.generic]:
    """Draw a value per row; most rows of a key have the key's."""
    if setting.each == 1:
        return draw(setting.rows)
    whole = np.repeat(draw(setting.rows // setting.each), setting.each)
    return np.where(rng.random(setting.rows) < ALIKE, whole, draw(setting.rows))


def _hit(rng: np.random.Generator, setting: Setting) -> NDArray[np.bool_]:
    return np.asarray(_alike(rng, setting, rng.random) < np.float64(setting.on))


def _losses(setting: Setting, rng: np.random.Generator) -> Paired:
    """Let log loss or Brier's score be lost on few rows, the models being equal on the others."""
    lost, hit_N = setting.margin / float(setting.on), _hit(rng, setting)
    if setting.metric == "log_loss":
        before, after = 0.9, 0.9 * np.exp(-lost)
    else:  # a squared error of 2 (1 - p)²
        before, after = 1.0, 1.0 - np.sqrt(lost / 2.0)

    def answers(p_N: Floats) -> NDArray[np.float32]:
        return np.column_stack([p_N, 1.0 - p_N]).astype(np.float32)

    ours, theirs = answers(np.where(hit_N, after, before)), answers(np.full(setting.rows, before))
    return _rows(np.zeros(setting.rows, dtype=np.int64), ours, theirs, setting.each)


def _numbers(setting: Setting, rng: np.random.Generator) -> Paired:
    """Let the absolute error be greater on few rows; the champion's residuals are normal."""
    residual_N = np.asarray(_alike(rng, setting, rng.standard_normal), dtype=np.float64)
    extra = setting.margin * np.sqrt(2.0 / np.pi) / float(setting.on)
    worse_N = residual_N + np.where(_hit(rng, setting), np.copysign(extra, residual_N), 0.0)

    def quantiles(point_N: Floats) -> NDArray[np.float32]:
        return np.repeat(point_N.astype(np.float32)[:, None], 3, axis=1)

    label_N = np.zeros(setting.rows)
    return _rows(label_N, quantiles(worse_N), quantiles(residual_N), setting.each)


def _table(mix_K: Floats, lost: float) -> Ints:
    """Return the expected confusion matrix where the rarest class loses so many right answers."""
    right_K = np.full(len(mix_K), _RIGHT)
    right_K[-1] *= 1.0 - lost
    table_KK = np.repeat((mix_K * (1.0 - right_K) / (len(mix_K) - 1))[:, None], len(mix_K), axis=1)
    np.fill_diagonal(table_KK, mix_K * right_K)
    return np.asarray(np.rint(1e12 * table_KK), dtype=np.int64)


def _lost(setting: Setting) -> float:
    """Return the share of its right answers that the rarest class loses: the margin's worth."""
    mix_K = np.array(MIXES[str(setting.on)])
    name = "recall_macro" if setting.metric == "balanced_accuracy" else "f1_macro"

    def beyond(lost: float) -> float:
        before, after = (metrics.averages(_table(mix_K, x))[name] for x in (0.0, lost))
        return before - after - setting.margin

    return float(optimize.brentq(beyond, 0.0, 1.0))


def _classes(setting: Setting, lost: float, rng: np.random.Generator) -> Paired:
    """Let the rarest class lose right answers, the models being equal on the others."""
    mix_K = np.array(MIXES[str(setting.on)])
    classes = len(mix_K)

    def drawn(draw: Draw) -> Ints:
        return np.asarray(_alike(rng, setting, draw))

    label_N = drawn(lambda n: np.searchsorted(np.cumsum(mix_K)[:-1], rng.random(n), side="right"))
    right_N = drawn(rng.random) < _RIGHT
    wrong_N = (label_N + drawn(lambda n: rng.integers(1, classes, n))) % classes
    kept_N = right_N & ~((label_N == classes - 1) & (drawn(rng.random) < lost))
    one_KK = np.eye(classes, dtype=np.float32)
    ours, theirs = (one_KK[np.where(hit, label_N, wrong_N)] for hit in (kept_N, right_N))
    return _rows(label_N, ours, theirs, setting.each)


def _ranked(setting: Setting, rng: np.random.Generator) -> Paired:
    """Let rows of the rarer class be placed last of all, the models being equal on the others."""
    label_N = np.asarray(_alike(rng, setting, rng.random) < np.float64(MIXES[str(setting.on)][1]))
    score_N = np.asarray(_alike(rng, setting, rng.standard_normal), dtype=np.float64)
    score_N = score_N + stats.norm.ppf(_RIGHT) * np.sqrt(2.0) * label_N
    lost_N = label_N & (_alike(rng, setting, rng.random) < np.float64(setting.margin / _RIGHT))

    def answers(value_N: Floats) -> NDArray[np.float32]:
        p_N = special.expit(value_N / 4.0)
        return np.column_stack([1.0 - p_N, p_N]).astype(np.float32)

    ours = answers(np.where(lost_N, score_N - 30.0, score_N))
    return _rows(label_N.astype(np.int64), ours, answers(score_N), setting.each)


def equal(rng: np.random.Generator, rows: int) -> Paired:
    """Draw two equally good models of three unequal classes, which agree for the most part."""
    label_N = rng.choice(3, rows, p=[0.6, 0.3, 0.1])
    shared_NK = rng.standard_normal((rows, 3))

    def answers() -> NDArray[np.float32]:
        logit_NK = 0.9 * shared_NK + np.sqrt(0.19) * rng.standard_normal((rows, 3))
        logit_NK[np.arange(rows), label_N] += 2.0
        return special.softmax(1.2 * logit_NK, axis=1).astype(np.float32)

    return _rows(label_N, answers(), answers(), 1)
