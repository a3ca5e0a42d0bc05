"""Part c: the 95 % intervals that `evaluate` reports hold the truth as often as they say.

The bootstrap is `mlops.core.intervals.bootstrap`; only its statistics are written for many
resamples at once, and compared with `mlops.core.assessment.measured` on the same draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_cells import Cell
from mlops.core import assessment, metrics
from mlops.core.intervals import Interval, bootstrap, wilson

if TYPE_CHECKING:
    from mlops.core.intervals import Many

PART = "coverage"
CONFIDENCE, RESAMPLES, SEED, BINS = 0.95, 1000, 7, 10
TOLERANCE = 0.02
"""BCa errs by a term in 1/n (Efron 1987): two points are allowed, from CLAIMED_FROM on."""
CLAIMED_FROM = 25
"""Mistakes to be expected. What a model that errs less often than that loses hangs on a few rows,
and a sample that lacks them cannot know: such cells are reported, nothing is claimed."""
MODELS = {"right on 87 %": 2.0, "right on 98 %": 3.2}
"""How far the label's logit stands out from noise of variance 1."""
NAMES = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "brier", "roc_auc")
_SHARES = np.array([0.5, 0.3, 0.2])  # of three classes
_SHARPNESS = 1.5  # too sure of itself
_TRUTH_ROWS = 2_000_000  # puts the truth to within a thirtieth of an interval of 1000 rows

Labels = NDArray[np.int64]
Scores = NDArray[np.float32]


def answers(rng: np.random.Generator, rows: int, signal: float) -> tuple[Labels, Scores]:
    """Draw labels of three unequal classes and a model's probabilities."""
    label = rng.choice(3, rows, p=_SHARES)
    logits = rng.normal(size=(rows, 3))
    logits[np.arange(rows), label] += signal
    odds = np.exp(_SHARPNESS * (logits - logits.max(axis=1, keepdims=True)))
    return label, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def truth(model: str) -> dict[str, float]:
    """Return each metric's value on so many rows that nothing is left to chance."""
    drawn = answers(np.random.default_rng(99), _TRUTH_ROWS, MODELS[model])
    return metrics.summary(*drawn, BINS, 2)  # top-k is no metric that is claimed


def cover(model: str, rows: int, trials: int, first: int, true: dict[str, float]) -> dict[str, int]:
    """Count how often each metric's interval holds the truth in replicates `first` and on."""
    inside = dict.fromkeys(NAMES, 0)
    for trial in range(first, first + trials):
        label, p = answers(np.random.default_rng([5, rows, trial]), rows, MODELS[model])
        found = intervals(label, p)
        if trial == first:
            _compare(label, p, found)
        for name, interval in found.items():
            inside[name] += interval.low <= true[name] <= interval.high
    return inside


def cells(model: str, rows: int, trials: int, inside: dict[str, int], right: float) -> list[Cell]:
    """Return a cell for each metric; `right` is the model's true accuracy."""
    claimed = rows * (1.0 - right) >= CLAIMED_FROM
    return [
        Cell(
            PART, f"{name}, {rows} rows, {model}", inside[name], trials, CONFIDENCE - TOLERANCE,
            at_least=True, claimed=claimed,
        )
        for name in NAMES
    ]  # fmt: skip


def intervals(label: Labels, p: Scores) -> dict[str, Interval]:
    """Return the intervals that `evaluate` would report, but for the calibration error."""
    hits = int((metrics.predicted(p) == label).sum())
    many: dict[str, Many] = {
        "balanced_accuracy": _table(label, p, f1=False),
        "f1_macro": _table(label, p, f1=True),
        "log_loss": _mean(metrics.row_log_loss(label, p)),
        "brier": _mean(metrics.row_brier(label, p)),
        "roc_auc": _areas(label, p),
    }
    out = {"accuracy": wilson(hits, len(label), CONFIDENCE)}
    for name, every in many.items():
        out[name] = bootstrap(
            lambda rows, every=every: float(every(rows[None])[0]), len(label),
            confidence=CONFIDENCE, resamples=RESAMPLES, seed=SEED, many=every,
        )  # fmt: skip
    # Where no resample differs `evaluate` has an interval of another kind, or none.
    flat = [name for name, one in out.items() if one.low == one.high]
    return out | {name: one for name, one in (evaluates(label, p) if flat else {}).items()
                  if name in flat}  # fmt: skip


def evaluates(label: Labels, p: Scores) -> dict[str, Interval]:
    """Return the intervals of `evaluate` itself, which take seconds for many rows."""
    rows = assessment.Scored(
        label, p, np.arange(len(label), dtype=np.uint64), np.zeros(len(label), dtype=bool)
    )
    rules = assessment.Rules(CONFIDENCE, RESAMPLES, SEED, BINS, 1, top_k=2)
    return {one.name: one.interval for one in assessment.measured(rows, rules)}


def _compare(label: Labels, p: Scores, found: dict[str, Interval]) -> None:
    theirs = evaluates(label, p)
    for name, interval in found.items():
        ours, other = [interval.low, interval.high], [theirs[name].low, theirs[name].high]
        same = np.allclose(ours, other, rtol=0.0, atol=1e-9, equal_nan=True)
        assert same, f"{name}: not the interval of evaluate: {ours}, {other}"


def _mean(value_N: NDArray[np.float64]) -> Many:
    return lambda rows: value_N[rows].mean(axis=1)


def _table(label: Labels, p: Scores, *, f1: bool) -> Many:
    """Return the mean recall or F1 over the classes that occur, of many resamples."""
    classes = p.shape[1]
    cell_N = label * classes + metrics.predicted(p)

    def many(rows: Labels) -> NDArray[np.float64]:
        flat = cell_N[rows] + classes**2 * np.arange(len(rows))[:, None]
        count = np.bincount(flat.ravel(), minlength=classes**2 * len(rows))
        table_RKK = count.reshape(-1, classes, classes)
        hits_RK, labelled_RK = table_RKK.diagonal(axis1=1, axis2=2), table_RKK.sum(axis=2)
        with np.errstate(invalid="ignore"):
            share = (
                2.0 * hits_RK / (labelled_RK + table_RKK.sum(axis=1))
                if f1
                else (hits_RK / labelled_RK)
            )
        return np.asarray(np.nanmean(np.where(labelled_RK > 0, share, np.nan), axis=1))

    return many


def _areas(label: Labels, p: Scores) -> Many:
    """Return the mean one-versus-rest area of many resamples; no two scores may be tied."""
    order_NK = np.argsort(p, axis=0)
    positive_NK = label[order_NK] == np.arange(p.shape[1])
    rows_N = len(label)

    def many(rows: Labels) -> NDArray[np.float64]:
        flat = rows + rows_N * np.arange(len(rows))[:, None]
        count_RN = np.bincount(flat.ravel(), minlength=rows_N * len(rows)).reshape(-1, rows_N)
        areas = []
        for k in range(p.shape[1]):
            weight_RN = count_RN[:, order_NK[:, k]]
            ones_RN = weight_RN * positive_NK[:, k]
            zeros_RN = weight_RN - ones_RN
            pairs_R = ones_RN.sum(axis=1) * zeros_RN.sum(axis=1)
            with np.errstate(invalid="ignore"):
                areas.append((ones_RN * np.cumsum(zeros_RN, axis=1)).sum(axis=1) / pairs_R)
        return np.asarray(np.nanmean(areas, axis=0))

    return many
