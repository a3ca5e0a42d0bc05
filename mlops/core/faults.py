"""What makes evidence unusable: missing, damaged or not provably unseen. Any of it refuses."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.schema import QUANTILES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.exam import Exam, Memory, Paired, Trial
    from mlops.core.rules import Rules

_SUM_TOLERANCE = 1e-3  # float32 softmax, and quantised ones
_GOLDEN_TOLERANCE = 1e-4  # the serving worker's own: same file, same runtime


def find_faults(exam: Exam, rules: Rules) -> tuple[str, ...]:
    """Return what is missing or damaged, one sentence each; any of it refuses the candidate."""
    found = list(exam.faults)
    anchor = exam.anchor.memory if exam.anchor else None
    memories = {"candidate": exam.candidate, "champion": exam.champion, "anchor": anchor}
    for who, memory in memories.items():
        found += _memory_faults(who, memory)
    parts = {"recent": exam.recent, "base": exam.base, "corrupted base": exam.corrupted}
    for name, rows in parts.items():
        if rows is not None:
            found += _rows_faults(name, rows, exam)
    if len(exam.base.label) == 0:
        found.append("there are no base test rows")
    found += _trial_faults(exam.trial)
    for name, limits in (("floor", rules.floors), ("ceiling", rules.ceilings)):
        found += [f"the {name} of {m} is no number" for m, v in limits if not math.isfinite(v)]
    return tuple(found)


def _memory_faults(who: str, memory: Memory | None) -> list[str]:
    if memory is None:
        return []
    found = []
    if memory.seen is None:
        found.append(f"what the {who} was trained on is not recorded")
    if not math.isfinite(memory.trained_until_s or 0.0):
        found.append(f"the time until which the {who} was trained is no number")
    return found


def _trial_faults(trial: Trial | None) -> list[str]:
    if trial is None:
        return ["the candidate was not tried in the real server"]
    values = {f.name: getattr(trial, f.name) for f in fields(trial)}
    found = [
        f"the candidate's {name} in the real server is no number"
        for name, value in values.items()
        if not math.isfinite(value)
    ]
    if trial.worst_difference > _GOLDEN_TOLERANCE:
        found.append(
            f"in the real server the candidate's answers differ by {trial.worst_difference:.2g} "
            f"from those recorded; {_GOLDEN_TOLERANCE:g} allowed"
        )
    return found


def _rows_faults(name: str, rows: Paired, exam: Exam) -> list[str]:
    classes = len(exam.classes)
    numbers = classes or len(QUANTILES)
    shapes = {rows.label.shape, rows.key.shape, rows.observed_s.shape}
    if shapes != {(len(rows.label),)}:
        return [f"the {name} rows' labels, keys and times differ in number"]
    if exam.regression and not np.isfinite(rows.label).all():
        return [f"a target of the {name} rows is no number"]
    if classes and len(rows.label) and not 0 <= rows.label.min() <= rows.label.max() < classes:
        return [f"a label of the {name} rows is outside the {classes} classes"]
    scored = [("candidate", rows.candidate)]
    scored += [("champion", rows.champion)] if exam.champion is not None else []
    scored += [("anchor", rows.anchor)] if exam.anchor is not None and name == "recent" else []
    found = []
    for who, scores in scored:
        what = _scores_fault(scores, (len(rows.label), numbers), regression=exam.regression)
        if what:
            answers = "quantiles" if exam.regression else "probabilities"
            found.append(f"the {who}'s {answers} on the {name} rows {what}")
    if rows.columns is not None and rows.columns.shape != (len(rows.label), len(exam.columns)):
        found.append(f"the columns of the {name} rows have the shape {rows.columns.shape}")
    return found


def _scores_fault(
    scores: NDArray[np.float32] | None, shape: tuple[int, int], *, regression: bool
) -> str:
    if scores is None:
        return "are missing"
    if scores.shape != shape:
        return f"have the shape {scores.shape}, not {shape}"
    if not np.isfinite(scores).all():
        return "hold NaN or infinity"
    if regression:
        return "cross each other" if (np.diff(scores, axis=1) < 0).any() else ""
    if (scores < 0).any() or (np.abs(scores.sum(1) - 1.0) > _SUM_TOLERANCE).any():
        return "are no probabilities: they are negative or do not add up to 1"
    return ""
