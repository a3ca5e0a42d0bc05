"""The model card: what a model is for, what it was made of and measured on."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlops.core.canonical import ADDED


@dataclass(frozen=True)
class Score:
    """One metric of the candidate on the test rows.

    Attributes:
        name: such as `accuracy`.
        value: the estimate.
        low: lower end of its interval.
        high: upper end.
    """

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SliceScore:
    """What the model is worth on the rows that have one value of one property.

    Attributes:
        rows: `test`; in cards of before the gate alone looked at recent rows, `recent` too.
        name: the property, such as `class`.
        value: its value.
        n: rows.
        accuracy: share right, or of a regression the mean absolute error; nothing where the rows
            were too few to assess.
        low: lower end of its interval; nothing likewise.
        high: upper end; nothing likewise.
    """

    rows: str
    name: str
    value: str
    n: int
    accuracy: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Card:
    """Everything that a model card says.

    Attributes:
        project: registered-model name.
        intended_use: as people stated it; may be empty.
        licence: likewise.
        stated_limits: likewise, one sentence each.
        source: where the examples come from.
        snapshot: DVC md5 of the snapshot; empty where unknown.
        network: class path.
        classes: names of the labels; none of a regression.
        shape: of one example: of an image height, width and channels.
        trained_until_s: time of the newest row that it was fitted on, seconds since 1970.
        rows: split and its number of rows: `train`, `validation`, `test`, `recent`, `reference`.
        confidence: coverage of every interval.
        scores: the candidate's metrics.
        slices: its accuracy by slice.
        measured: what was measured beyond the metrics: `robustness`, `fairness`, `explanations`.
        kind: of the examples: `image`, `table` or `text`.
        columns: names of a table's columns; none of other kinds.
        target: name of the column that is predicted; empty where labels are no column.
        start: with which weights training began, in words; empty: with fresh ones, as ever.
        window: which of the rows that might train did, in words; empty: all.
    """

    project: str
    intended_use: str
    licence: str
    stated_limits: tuple[str, ...]
    source: str
    snapshot: str
    network: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    trained_until_s: float | None
    rows: tuple[RowCount, ...]
    confidence: float
    scores: tuple[Score, ...]
    slices: tuple[SliceScore, ...]
    measured: tuple[str, ...]
    kind: str = field(default="image", metadata=ADDED)
    columns: tuple[str, ...] = field(default=(), metadata=ADDED)
    target: str = field(default="", metadata=ADDED)
    start: str = field(default="", metadata=ADDED)
    window: str = field(default="", metadata=ADDED)

    @property
    def regression(self) -> bool:
        """Whether the model predicts a number."""
        return not self.classes

    def count(self, split: str) -> int:
        """Return the number of rows of a split; 0 where there are none."""
        return next((r.n for r in self.rows if r.split == split), 0)


@dataclass(frozen=True)
class RowCount:
    """How many rows a split has."""

    split: str
    n: int


def worst_slices(card: Card, most: int = 6) -> tuple[SliceScore, ...]:
    """Return the assessed slices that may be worst: by the bad end of their intervals."""
    known = [s for s in card.slices if s.low is not None and s.name != "all"]
    if card.regression:
        return tuple(sorted(known, key=lambda s: (-(s.high or 0.0), s.n, s.value))[:most])
    return tuple(sorted(known, key=lambda s: (s.low or 0.0, s.n, s.value))[:most])
