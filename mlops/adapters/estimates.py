"""What can be said of a window's accuracy without labels, and how right such estimates were.

Of a classifier its confidence says it (`mlops.core.estimate`), of a regression models that learnt
where its version misses (`mlops.core.direct_loss`); its accuracy is its coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.reference import read_reference
from mlops.adapters.threads import one_thread
from mlops.core import direct_loss
from mlops.core.estimate import Confidence, Estimate, Score, estimate, fit, score
from mlops.core.quality import sound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.baseline import Baseline
    from mlops.adapters.windows import Window
    from mlops.core.columns import Columns

_LEAST = 20  # labels of a window from which its measured accuracy is a truth to compare with


@dataclass(frozen=True)
class Known:
    """What a version's labelled reference rows teach; nothing where there are too few labels.

    Attributes:
        confidence: how it goes with accuracy; None of a regression.
        mix: reference labels by class; empty of a regression.
        losses: where a regression misses; None of a classifier.
    """

    confidence: Confidence | None
    mix: tuple[int, ...]
    losses: direct_loss.Losses | None = None


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
            return Known(
                None, (), direct_loss.learn(baseline.columns, baseline.right, baseline.key)
            )
    probabilities, label = _read(folder)
    return Known(fit(probabilities, label), _mix(probabilities, label))


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


def guess(rows: Sequence[sa.Row[Any]], seen: Columns | None, known: Known) -> Estimate | None:
    """Estimate the accuracy of a window's predictions; None where it cannot be.

    Args:
        rows: with `probabilities`, float32 bytes.
        seen: the columns of the sound ones; None when hardly any is sound.
        known: of the version that predicted.
    """
    if known.losses is not None:
        if seen is None:
            return None
        with one_thread():
            return direct_loss.estimate(known.losses, seen)
    shown = [np.frombuffer(row.probabilities, dtype="<f4") for row in rows]
    wide = [p for p in shown if len(p) == len(known.mix)]
    if known.confidence is None or not wide:
        return None
    table = np.stack(wide)
    return estimate(known.confidence, table[sound(table)])


def together(found: Sequence[Window]) -> Estimate | None:
    """Return the estimate of several windows as one: the mean, and the mean ends of intervals."""
    told = [(w.estimate, w.cut.rows) for w in found if w.estimate is not None]
    if not told:
        return None
    weight = np.array([rows for _, rows in told], dtype=float)
    ends = np.array([(e.value, e.low, e.high) for e, _ in told])
    value, low, high = (weight @ ends / weight.sum()).tolist()
    return Estimate(value, low, high)


def scored(recent: Sequence[Window]) -> Score | None:
    """Hold the estimates of windows against what their labels said later."""
    pairs = [
        (w.estimate, w.correct / w.labelled)
        for w in recent
        if w.estimate is not None and w.labelled >= _LEAST
    ]
    return score(pairs)
