"""What the gate is given: models' answers on the same rows, and proof that none saw them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.canonical import ADDED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.rules import Rules
    from mlops.core.schema import Task


@dataclass(frozen=True)
class Paired:
    """Labelled rows with the models' probabilities, or of a regression their quantiles.

    Attributes:
        label: int64 (N,); of a regression float64.
        candidate: float32 (N, K); nothing if the model could not be scored.
        champion: float32 (N, K); nothing if there is none or it could not be scored.
        key: uint64 (N,): hash of the split key.
        observed_s: float64 (N,): seconds since 1970; NaN where unknown.
        anchor: float32 (N, K); nothing if there is none beside the champion.
        columns: float64 (N, C): properties of the rows, in the order of `Exam.columns`; NaN where
            a number is missing.
    """

    label: NDArray[Any]
    candidate: NDArray[np.float32] | None
    champion: NDArray[np.float32] | None
    key: NDArray[np.uint64]
    observed_s: NDArray[np.float64]
    anchor: NDArray[np.float32] | None = None
    columns: NDArray[np.float64] | None = None

    def take(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> Paired:
        """Return the rows that a mask or an index array selects."""
        given: dict[str, Any] = vars(self)
        chosen: dict[str, Any] = {n: None if v is None else v[index] for n, v in given.items()}
        return replace(self, **chosen)


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
class Anchor:
    """The fixed version that losses add up against.

    Attributes:
        version: its number in the registry.
        memory: what it was fitted on.
    """

    version: str
    memory: Memory


@dataclass(frozen=True)
class Cohort:
    """The predictions that the recent rows stand for: those whose labels should be here by now.

    Attributes:
        predictions: distinct examples predicted in the time and chosen at random for labelling.
        labelled: those of them that have a label.
        until_s: labels of later predictions may still come; such rows do not count.
    """

    predictions: int
    labelled: int
    until_s: float


@dataclass(frozen=True)
class Look:
    """An earlier verdict's recent rows, as the ledger holds them.

    Attributes:
        since_s: time of the oldest row that counted.
        until_s: time of the newest.
        promoted: whether the promotion took effect, not declined, waiting or withdrawn: then its
            rows are spent and never judge again.
    """

    since_s: float
    until_s: float
    promoted: bool


@dataclass(frozen=True)
class Trial:
    """The candidate in the real server, in a fresh process.

    Attributes:
        latency_ms: 95th percentile of one request of one row.
        memory_mb: resident memory of the process after the requests.
        size_mb: size of the version's files.
        worst_difference: largest difference to the recorded golden probabilities.
    """

    latency_ms: float
    memory_mb: float
    size_mb: float
    worst_difference: float


@dataclass(frozen=True)
class Exam:
    """Everything that the gate looks at.

    Attributes:
        classes: names of the labels; none of a regression.
        recent: recent labelled production rows of the test side.
        base: base rows of the test side.
        candidate: what the candidate has seen.
        champion: what the champion has seen; nothing if none is in service.
        trial: the candidate in the real server; nothing if it was not tried.
        corrupted: base rows after a fixed mix of corruptions; nothing if not made.
        anchor: the fixed version; nothing if there is none beside the champion.
        cohort: what the recent rows stand for; nothing if it could not be counted.
        looks: earlier verdicts on recent rows.
        columns: names of the rows' columns.
        categories: for each of them the names behind its codes; none of a column of numbers.
        faults: evidence that could not be had, each in a sentence that names the remedy.
        lost: the anchor that was deleted from the registry, in whose place `anchor`, or where that
            is nothing the champion, stands; empty for none.
    """

    classes: tuple[str, ...]
    recent: Paired
    base: Paired
    candidate: Memory
    champion: Memory | None
    trial: Trial | None
    corrupted: Paired | None = None
    anchor: Anchor | None = None
    cohort: Cohort | None = None
    looks: tuple[Look, ...] = ()
    columns: tuple[str, ...] = ()
    categories: tuple[tuple[str, ...], ...] = ()
    faults: tuple[str, ...] = ()
    lost: str = field(default="", metadata=ADDED)

    @property
    def task(self) -> Task:
        """What the models are to do."""
        return "classification" if self.classes else "regression"

    @property
    def regression(self) -> bool:
        """Whether the models predict numbers."""
        return not self.classes

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The columns of names, with the names behind their codes."""
        pairs = zip(self.columns, self.categories, strict=False)
        return {column: names for column, names in pairs if names}

    @property
    def anchored(self) -> str:
        """The anchor in words, and what it stands for if that was deleted."""
        version = f"version {self.anchor.version}" if self.anchor else "the champion"
        lost = f" in place of version {self.lost}, which was deleted" if self.lost else ""
        return f"{version}, the anchor{lost}"

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What each model that is compared was fitted on."""
        anchor = self.anchor.memory if self.anchor else None
        return tuple(m for m in (self.candidate, self.champion, anchor) if m is not None)


def since_s(memories: tuple[Memory, ...], looks: tuple[Look, ...], gap_s: float) -> float:
    """Return the time that a recent row must be later than: trained rows, the gap, spent rows."""
    times = [m.trained_until_s + gap_s for m in memories if m.trained_until_s is not None]
    spent = [look.until_s for look in looks if look.promoted]
    return max([*times, *spent], default=-math.inf)


def counting(exam: Exam, rules: Rules) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which recent and which base rows count, as two masks.

    A row counts if no model has seen its key. A recent one must also be later than everything
    that any was fitted on, by more than the gap; not spent by a promotion; and matured: old
    enough that its cohort's labels should be here.
    """
    recent, base = (unseen(rows.key, exam.memories) for rows in (exam.recent, exam.base))
    until_s = exam.cohort.until_s if exam.cohort else math.inf
    after_s = since_s(exam.memories, exam.looks, rules.gap_s)
    with np.errstate(invalid="ignore"):  # NaN is neither later nor earlier than anything
        timely = (exam.recent.observed_s > after_s) & (exam.recent.observed_s <= until_s)
    return recent & timely, base


def look_number(observed_s: NDArray[np.float64], looks: tuple[Look, ...]) -> int:
    """Return the how-manieth verdict this is on overlapping rows, counting from 1.

    Args:
        observed_s: float64 (N,): times of the rows that count.
        looks: earlier verdicts.
    """
    overlapping = [
        bool(((observed_s >= look.since_s) & (observed_s <= look.until_s)).any()) for look in looks
    ]
    return 1 + sum(overlapping)


def unseen(key_N: NDArray[np.uint64], memories: tuple[Memory, ...]) -> NDArray[np.bool_]:
    """Say of each key, uint64 (N,), whether no model was fitted on a row with it; bool (N,)."""
    mask = np.ones(len(key_N), dtype=bool)
    for memory in memories:
        if memory.seen is not None:
            mask &= ~np.isin(key_N, memory.seen)
    return mask
