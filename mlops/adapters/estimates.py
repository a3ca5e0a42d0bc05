"""What can be said of a window's accuracy without labels, and how right such estimates were.

Of a classifier its confidence says it (`mlops.core.estimate`), of a regression models that learnt
where its version is off (`mlops.core.direct_loss`); its accuracy is its coverage. Its mean absolute
error is estimated to be shown, and for nothing else: nothing opens, escalates or closes by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.reference import read_reference
from mlops.adapters.threads import one_thread
from mlops.core import direct_error, direct_miss
from mlops.core.estimate import (
    Confidence,
    ErrorEstimate,
    Estimate,
    Score,
    estimate,
    fit,
    score,
)
from mlops.core.ground import lay, look
from mlops.core.quality import sound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.baseline import Baseline
    from mlops.adapters.windows import Window
    from mlops.core.columns import Columns
    from mlops.core.direct_loss import Losses
    from mlops.core.ground import Ground

_LEAST = 20  # labels of a window from which its measured accuracy is a truth to compare with


@dataclass(frozen=True)
class Known:
    """What a version's labelled reference rows teach; nothing where there are too few labels.

    Attributes:
        confidence: how it goes with accuracy; None of a regression.
        mix: reference labels by class; empty of a regression.
        ground: what the two below were learnt on; None of a classifier.
        misses: where a regression's targets lie outside its outer quantiles.
        errors: how far its median answers are off.
    """

    confidence: Confidence | None
    mix: tuple[int, ...]
    ground: Ground | None = None
    misses: Losses | None = None
    errors: Losses | None = None


@dataclass(frozen=True)
class Guess:
    """What is estimated of a window; nothing where it cannot be.

    Attributes:
        accuracy: of its answers.
        error: the mean absolute error of a regression.
    """

    accuracy: Estimate | None = None
    error: ErrorEstimate | None = None


def read_known(folder: Path, baseline: Baseline) -> Known:
    """Learn from `reference.npz` of a model folder what a window is estimated from.

    Args:
        folder: of the version.
        baseline: read from the same folder.

    Raises:
        MonitorError: if it is missing or damaged.
    """
    if not baseline.schema.classes:
        with one_thread():
            return _learned(baseline)
    probabilities, label = _read(folder)
    return Known(fit(probabilities, label), _mix(probabilities, label))


def _learned(baseline: Baseline) -> Known:
    known = np.isfinite(baseline.right)
    ground = lay(baseline.columns.take(known), baseline.key[known])
    if ground is None:
        return Known(None, ())
    misses = direct_miss.learn(ground, baseline.right[known])
    errors = direct_error.learn(ground, baseline.error[known])
    return Known(None, (), ground, misses, errors)


def read_mix(folder: Path) -> tuple[int, ...]:
    """Return the labels of `reference.npz` by class; nothing where it is no classifier's.

    Raises:
        MonitorError: if it is missing or damaged.
    """
    return _mix(*_read(folder))


def _read(folder: Path) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return the sound answers of a reference with their labels."""
    rows = read_reference(folder)
    return rows.answers[rows.fit], rows.label[rows.fit]


def _mix(probabilities: NDArray[np.float32], label: NDArray[Any]) -> tuple[int, ...]:
    if not np.issubdtype(label.dtype, np.integer):
        return ()
    known = np.bincount(label[label >= 0], minlength=probabilities.shape[1])
    return tuple(int(n) for n in known)


def guess(rows: Sequence[sa.Row[Any]], seen: Columns | None, known: Known) -> Guess:
    """Estimate the accuracy of a window's predictions, and of a regression its error.

    Args:
        rows: with `probabilities`, float32 bytes.
        seen: the columns of the sound ones; None when hardly any is sound.
        known: of the version that predicted.
    """
    if known.misses is not None or known.errors is not None:
        with one_thread():
            return _guessed(seen, known)
    shown = [np.frombuffer(row.probabilities, dtype="<f4") for row in rows]
    wide = [p for p in shown if len(p) == len(known.mix)]
    if known.confidence is None or not wide:
        return Guess()
    table = np.stack(wide)
    return Guess(estimate(known.confidence, table[sound(table)]))


def _guessed(seen: Columns | None, known: Known) -> Guess:
    looked = look(known.ground, seen) if known.ground is not None and seen is not None else None
    if looked is None:
        return Guess()
    return Guess(
        direct_miss.estimate(known.misses, looked) if known.misses else None,
        direct_error.estimate(known.errors, looked) if known.errors else None,
    )


def together(found: Sequence[Window]) -> Estimate | None:
    """Return the estimate of several windows as one: the mean, and the mean ends of intervals."""
    told = [(w.cut.rows, (e.value, e.low, e.high)) for w in found if (e := w.estimate)]
    return Estimate(*_mean(told)) if told else None


def errors_together(found: Sequence[Window]) -> ErrorEstimate | None:
    """Return the error estimate of several windows as one: without an upper end if one has none."""
    told = [
        (w.cut.rows, (e.value, e.low, math.inf if e.high is None else e.high))
        for w in found
        if (e := w.error_estimate)
    ]
    if not told:
        return None
    value, low, high = _mean(told)
    return ErrorEstimate(value, low, high if math.isfinite(high) else None)


def _mean(told: Sequence[tuple[int, tuple[float, float, float]]]) -> tuple[float, float, float]:
    """Return the mean value, low and high end of estimates, weighted by their windows' rows."""
    rows = np.array([rows for rows, _ in told], dtype=float)
    value, low, high = (rows @ np.array([ends for _, ends in told]) / rows.sum()).tolist()
    return value, low, high


def scored(recent: Sequence[Window]) -> Score | None:
    """Hold the estimates of windows against what their labels said later."""
    pairs = [
        (w.estimate, w.correct / w.labelled)
        for w in recent
        if w.estimate is not None and w.labelled >= _LEAST
    ]
    return score(pairs)


def errors_scored(recent: Sequence[Window]) -> Score | None:
    """Hold the error estimates of windows against what their labels said later."""
    pairs = [
        (w.error_estimate, w.error)
        for w in recent
        if w.error_estimate is not None and w.error is not None and w.labelled >= _LEAST
    ]
    return score(pairs)
