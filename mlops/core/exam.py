"""What the gate is given: two models' answers on the same rows, and proof that neither saw them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUM_TOLERANCE = 1e-3  # float32 softmax, and quantised ones


@dataclass(frozen=True)
class Rules:
    """The gate's parameters, as `params.yaml` names them (see `mlops.params.gate`).

    Attributes:
        margin: δ on accuracy.
        alpha: level of every test and bound, one-sided.
        power: at which missing labels are counted.
        effect: gain in accuracy worth finding.
        min_rows: fewest recent rows.
        base_margin: accuracy that may be lost on base rows.
        log_loss_margin: nats by which the log loss on recent rows may rise.
        floors: lowest value of each metric of `mlops.core.guardrails.FLOORS`.
        max_latency_ms: 95th percentile of one row.
        min_slice_rows: fewest rows of a class that is assessed for harm.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        gap_s: seconds between the last trained row and the first that counts.
    """

    margin: float
    alpha: float
    power: float
    effect: float
    min_rows: int
    base_margin: float
    log_loss_margin: float
    floors: tuple[tuple[str, float], ...]
    max_latency_ms: float
    min_slice_rows: int
    resamples: int
    seed: int
    gap_s: float


@dataclass(frozen=True)
class Paired:
    """Labelled rows with both models' probabilities.

    Attributes:
        label: int64 (N,).
        candidate: float32 (N, K); nothing if the model could not be scored.
        champion: float32 (N, K); nothing if there is none or it could not be scored.
        key: uint64 (N,): hash of the split key.
        observed_s: float64 (N,): seconds since 1970; NaN where unknown.
    """

    label: NDArray[np.int64]
    candidate: NDArray[np.float32] | None
    champion: NDArray[np.float32] | None
    key: NDArray[np.uint64]
    observed_s: NDArray[np.float64]

    def take(self, mask_N: NDArray[np.bool_]) -> Paired:
        """Return the rows that a mask selects."""
        return Paired(
            self.label[mask_N],
            None if self.candidate is None else self.candidate[mask_N],
            None if self.champion is None else self.champion[mask_N],
            self.key[mask_N],
            self.observed_s[mask_N],
        )


@dataclass(frozen=True)
class Memory:
    """What a model was fitted or tuned on.

    Attributes:
        seen: uint64: keys of its training and validation rows; nothing if not recorded.
        trained_until_s: observed time of its newest such row; nothing if none had a time.
    """

    seen: NDArray[np.uint64] | None
    trained_until_s: float | None


@dataclass(frozen=True)
class Exam:
    """Everything that the gate looks at.

    Attributes:
        classes: names of the labels.
        recent: recent labelled production rows of the test side.
        base: base rows of the test side.
        candidate: what the candidate has seen.
        champion: what the champion has seen; nothing if none is in service.
        latency_ms: the candidate's 95th percentile for one row; nothing if not measured.
        faults: evidence that could not be had, each in a sentence that names the remedy.
    """

    classes: tuple[str, ...]
    recent: Paired
    base: Paired
    candidate: Memory
    champion: Memory | None
    latency_ms: float | None
    faults: tuple[str, ...] = ()


def find_faults(exam: Exam, rules: Rules) -> tuple[str, ...]:
    """Return what is missing or damaged, one sentence each; any of it refuses the candidate."""
    found = list(exam.faults)
    memories = {"candidate": exam.candidate, "champion": exam.champion}
    for who, memory in memories.items():
        if memory is not None and memory.seen is None:
            found.append(f"what the {who} was trained on is not recorded")
        if memory is not None and not math.isfinite(memory.trained_until_s or 0.0):
            found.append(f"the time until which the {who} was trained is no number")
    for name, rows in (("recent", exam.recent), ("base", exam.base)):
        found += _rows_faults(name, rows, len(exam.classes), paired=exam.champion is not None)
    if len(exam.base.label) == 0:
        found.append("there are no base test rows")
    if exam.latency_ms is None or not math.isfinite(exam.latency_ms):
        found.append("the candidate's latency was not measured")
    if not all(math.isfinite(limit) for _, limit in rules.floors):
        found.append("a floor is no number")
    return tuple(found)


def _rows_faults(name: str, rows: Paired, classes: int, *, paired: bool) -> list[str]:
    shapes = {rows.label.shape, rows.key.shape, rows.observed_s.shape}
    if shapes != {(len(rows.label),)}:
        return [f"the {name} rows' labels, keys and times differ in number"]
    if len(rows.label) and not 0 <= rows.label.min() <= rows.label.max() < classes:
        return [f"a label of the {name} rows is outside the {classes} classes"]
    found = []
    for who, scores in (("candidate", rows.candidate), ("champion", rows.champion)):
        if who == "champion" and not paired:
            continue
        what = _scores_fault(scores, (len(rows.label), classes))
        if what:
            found.append(f"the {who}'s probabilities on the {name} rows {what}")
    return found


def _scores_fault(scores: NDArray[np.float32] | None, shape: tuple[int, int]) -> str:
    if scores is None:
        return "are missing"
    if scores.shape != shape:
        return f"have the shape {scores.shape}, not {shape}"
    if not np.isfinite(scores).all():
        return "hold NaN or infinity"
    if (scores < 0).any() or (np.abs(scores.sum(1) - 1.0) > _SUM_TOLERANCE).any():
        return "are no probabilities: they are negative or do not add up to 1"
    return ""


def counting(exam: Exam, rules: Rules) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which recent and which base rows count, as two masks.

    A row counts if neither model has seen its key; a recent one must also be later than
    everything that either was fitted on, by more than the gap.
    """
    memories = [m for m in (exam.candidate, exam.champion) if m is not None]
    recent, base = _unseen(exam.recent.key, memories), _unseen(exam.base.key, memories)
    times = [m.trained_until_s for m in memories if m.trained_until_s is not None]
    after_s = max(times) + rules.gap_s if times else -math.inf
    with np.errstate(invalid="ignore"):
        later = exam.recent.observed_s > after_s  # NaN is not later than anything
    return recent & later, base


def _unseen(key_N: NDArray[np.uint64], memories: list[Memory]) -> NDArray[np.bool_]:
    mask = np.ones(len(key_N), dtype=bool)
    for memory in memories:
        if memory.seen is not None:
            mask &= ~np.isin(key_N, memory.seen)
    return mask
