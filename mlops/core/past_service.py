"""A model in service in a backtest: fitted on a span of history, with its reference and thresholds.

What `prepare`, `train`, `evaluate` and the calibration do for a version, on arrays: the rows are
dealt by the same function, so the reference is the newest part of the span, which no model was
fitted on, and the test side never trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mlops.core.alarm import Verdict, judge
from mlops.core.calibration import calibrate
from mlops.core.columns import columns
from mlops.core.drift import presort, statistics
from mlops.core.exam import Memory
from mlops.core.grouping import entity_keys
from mlops.core.partition import SplitRows, partition
from mlops.core.quality import Arrivals, breaks, hits
from mlops.core.relations import relate
from mlops.core.schema import TextSchema
from mlops.core.training_window import Window, choose
from mlops.core.usual import Usual, contents, usual
from mlops.core.vocabulary import UNKNOWN_WORDS, learn_words
from mlops.core.volume import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mlops.core.calibration import Rules
    from mlops.core.columns import Columns
    from mlops.core.drift import Reference
    from mlops.core.past import Past
    from mlops.core.relations import Relations
    from mlops.core.schema import Schema
    from mlops.core.thresholds import Thresholds
    from mlops.core.vocabulary import Vocabulary

    Weights = NDArray[np.float64]
    """(N,): how much each row counts when a model is fitted."""

LEAST_LABELS = 30
"""Labelled reference rows from which a version's accuracy is known, as `monitor` asks for."""


@dataclass(frozen=True)
class Learnt:
    """A fitted model.

    Attributes:
        answers: from features, (N, *shape), to probabilities or quantiles, float32 (N, K).
        minutes: that fitting it took.
    """

    answers: Callable[[NDArray[Any]], NDArray[np.float32]]
    minutes: float


class Learner(Protocol):
    """What fits a model; see `mlops.adapters.learners`."""

    def __call__(self, train: Past, validation: Past, weights: tuple[Weights, Weights]) -> Learnt:
        """Fit on labelled rows of the two sides, each with a weight."""


@dataclass(frozen=True)
class Dealing:
    """How a span of history is dealt: see `holdout` and `training_window` in params.yaml."""

    recent_share: float
    gap_s: float
    reference_rows: int
    window: Window


@dataclass(frozen=True)
class Served:
    """A model with all that travels with a version.

    Attributes:
        number: 1 for the first, then in the order of training.
        learnt: the model.
        answers: float32 (N, K) over all of history.
        hit: bool (N,): which of them are right; meaningless where nothing is labelled.
        memory: what it was fitted on.
        base: int64: held-out labelled rows as old as those it was fitted on.
        relations: that windows are extended by.
        vocabulary: of its reference's texts; None of other kinds.
        reference: presorted, with its residuals.
        columns: of the reference, likewise.
        thresholds: calibrated on it.
        labels: labelled reference rows.
        accuracy: on them; None with fewer than 30.
        usual: what its reference rows hold.
        rows: that it was fitted on.
    """

    number: int
    learnt: Learnt
    answers: NDArray[np.float32]
    hit: NDArray[np.bool_]
    memory: Memory
    base: NDArray[np.int64]
    relations: Relations
    vocabulary: Vocabulary | None
    reference: Reference
    columns: Columns
    thresholds: Thresholds
    labels: int
    accuracy: float | None
    usual: Usual
    rows: int

    def see(self, features: NDArray[Any], answers: NDArray[np.float32], schema: Schema) -> Columns:
        """Return the columns of a window's rows; a stand-in model has no embedding to look at.

        Args:
            features: (N, *shape) of the schema.
            answers: (N, K): its own of these rows.
            schema: of the rows.
        """
        rows = columns(features, answers, schema)
        if self.vocabulary is not None:
            rows = rows.join((UNKNOWN_WORDS,), self.vocabulary.unknown(features)[:, None])
        return self.relations.extend(rows)


def judge_window(past: Past, served: Served, window: slice, earlier: Sequence[Span]) -> Verdict:
    """Judge a window as `monitor` does; broken data is not judged for drift.

    Args:
        past: all of history.
        served: the version in service.
        window: its rows.
        earlier: when the windows before it began and ended, oldest first.
    """
    features, times = past.features[window], past.observed_s[window]
    found = breaks(
        contents(features, past.schema, served.usual), past.schema, served.usual, unsound=0,
        arrivals=Arrivals(
            0, past.key[window].astype(str).tolist(), Span(float(times[0]), float(times[-1])),
            list(earlier),
        ),
    )  # fmt: skip
    if found:
        return Verdict(len(features), (), found, served.thresholds.calibrated)
    rows = served.see(features, served.answers[window], past.schema)
    values = statistics(served.reference, rows)
    return judge(served.thresholds, values, np.zeros_like(values), len(rows), rows.named)


def install(
    past: Past,
    span: NDArray[np.int64],
    learner: Learner,
    how: tuple[Dealing, Rules],
    number: int,
) -> Served:
    """Fit a model on a span of history and make it ready to be served and watched.

    Args:
        past: all of history.
        span: int64, ascending: the rows that may be known; of those the newest labelled
            `recent_share` and the test side are kept from fitting.
        learner: fits.
        how: shares of the rows, and rules of the calibration.
        number: of the version.

    Raises:
        ValueError: if the span has too few rows, or labels of one kind only.
    """
    dealing, rules = how
    rows = past.take(span)
    dealt = partition(
        SplitRows(rows.side, rows.labelled, np.ones(len(rows), dtype=np.bool_), rows.observed_s,
                  rows.key, rows.active),
        recent_share=dealing.recent_share, gap_s=dealing.gap_s,
        reference_rows=dealing.reference_rows,
    )  # fmt: skip
    sides = {"training": dealt.train, "validation": dealt.validation, "test": dealt.test}
    for name, part in sides.items():
        if len(np.unique(rows.label[part])) < 2:
            kind = "one kind of label" if len(part) else "no labelled rows"
            raise ValueError(f"the {name} side of {len(span)} rows has {kind}")
    if len(dealt.reference) < 2:
        raise ValueError(f"{len(span)} rows leave no reference")
    parts, weights = _windowed(rows, dealt.train, dealt.validation, dealing.window)
    learnt = learner(rows.take(parts[0]), rows.take(parts[1]), weights)
    answers = learnt.answers(past.features)
    regression = not past.schema.classes
    hit = hits(past.label, answers, regression=regression)
    held = np.sort(span[dealt.reference])
    key = entity_keys(past.key[held], past.features[held], past.schema)
    seen, vocabulary = columns(past.features[held], answers[held], past.schema), None
    if isinstance(past.schema, TextSchema):
        vocabulary, unknown = learn_words(past.features[held])
        seen = seen.join((UNKNOWN_WORDS,), unknown[:, None])
    relations, watched = relate(seen, key)
    known = held[past.labelled[held] & ~past.active[held]]
    return Served(
        number=number, learnt=learnt, answers=answers, hit=hit,
        memory=Memory(dealt.seen, dealt.trained_until_s), base=span[dealt.test],
        relations=relations, vocabulary=vocabulary, reference=presort(watched), columns=watched,
        thresholds=calibrate(watched, rules, in_order=True, key=key), labels=len(known),
        accuracy=float(hit[known].mean()) if len(known) >= LEAST_LABELS else None,
        usual=usual(past.features[held], past.schema),
        rows=len(parts[0]) + len(parts[1]),
    )  # fmt: skip


def _windowed(
    rows: Past, train: NDArray[np.int64], validation: NDArray[np.int64], window: Window
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], tuple[Weights, Weights]]:
    """Thin out both sides by the training window: the stand-in is fitted on both."""
    both = np.concatenate([train, validation])
    chosen = choose(
        window, rows.observed_s[both], np.ones(len(both), dtype=np.bool_), rows.key[both]
    )
    first = chosen.index < len(train)
    parts = both[chosen.index[first]], both[chosen.index[~first]]
    return parts, (chosen.weight[first], chosen.weight[~first])
