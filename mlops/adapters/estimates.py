"""What confidence alone says of a window's accuracy, and how right such estimates were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.estimate import Confidence, Estimate, Score, estimate, fit, score
from mlops.core.quality import sound
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from mlops.adapters.windows import Window

_LEAST = 20  # labels of a window from which its measured accuracy is a truth to compare with


@dataclass(frozen=True)
class Known:
    """What a version's labelled reference rows teach.

    Attributes:
        confidence: how it goes with accuracy; None where there are too few labels.
        mix: reference labels by class.
    """

    confidence: Confidence | None
    mix: tuple[int, ...]


def read_known(folder: Path) -> Known:
    """Learn from `reference.npz` of a model folder; nothing where it is no classifier's.

    Raises:
        MonitorError: if it is missing or damaged.
    """
    path = folder / "reference.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            probabilities, label = stored["probabilities"], stored["label"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        msg = f"{path}: no usable reference ({error}); run: mlops evaluate, mlops register"
        raise MonitorError(msg) from None
    if probabilities.ndim != 2 or not np.issubdtype(label.dtype, np.integer):
        return Known(None, ())
    fits = sound(probabilities)
    known = label[fits & (label >= 0)]
    mix = tuple(int(n) for n in np.bincount(known, minlength=probabilities.shape[1]))
    return Known(fit(probabilities[fits], label[fits]), mix)


def guess(rows: Sequence[sa.Row[Any]], known: Known) -> Estimate | None:
    """Estimate the accuracy of a window's predictions; None where it cannot be.

    Args:
        rows: with `probabilities`, float32 bytes.
        known: of the version that predicted.
    """
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
