"""What labels that came later say of predictions: accuracy, counted where it may be counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from mlops.adapters import windows
from mlops.adapters.sql.tables import SERVED, labels, predictions
from mlops.core.example import sampled
from mlops.core.quality import errors, hits
from mlops.core.triage import Accuracy
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.adapters.windows import Window
    from mlops.params.labels import LabelsSection

_ACTIVE = "active"  # chosen for being hard: such labels train, but measure nothing
_RANDOM = "random"
MOST_OUTCOMES = 5000
"""Labels that one look for a loss goes back over."""


def accuracy(
    connection: sa.Connection,
    project: str,
    version: str,
    seqs: tuple[int, int],
    reference: float | None = None,
    *,
    regression: bool = False,
    expected: Expected,
) -> Accuracy:
    """Return the accuracy of a version's predictions between two seqs, both inclusive.

    Only labels of a random sample measure: those asked for at random, and volunteered ones that
    fall into the sample while it is nearly complete, so that nobody's choice is left in it. Only
    predictions whose labels' time has come count. The newest label of a prediction wins. Of a
    regression accuracy is the share of targets between the outer quantiles.
    """
    told, newest = _told(connection, project, _span(project, version, seqs, expected.until_s),
                         expected)  # fmt: skip
    classes = [] if regression else [int(row.label) for row in told]
    mix = np.bincount(classes) if classes else np.zeros(0, dtype=np.int64)
    return Accuracy(
        correct=sum(_right(row, regression=regression) for row in told), labelled=len(told),
        reference=reference, mix=tuple(int(n) for n in mix), apart=newest - len(told),
        measure="coverage" if regression else "accuracy",
    )  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """A window whose labels have all had their time.

    Attributes:
        window: itself.
        labelled: its predictions with a label that measures, at least one.
        right: those of them that were right.
    """

    window: Window
    labelled: int
    right: int


def by_window(
    connection: sa.Connection, project: str, version: str, after_seq: int, *, expected: Expected
) -> tuple[Counted, ...]:
    """Return a version's measured windows after a place in the log, oldest first.

    Those labels count that `accuracy` counts, at most the newest `MOST_OUTCOMES`. Windows of broken
    data measure the break, not the model.
    """
    span = _span(project, version, (after_seq + 1, 2**62), expected.until_s)
    rows = sorted(_told(connection, project, span, expected)[0], key=lambda r: r.seq)
    rows = rows[-MOST_OUTCOMES:]
    if not rows:
        return ()
    found = windows.complete(
        connection, project, version, since_seq=max(rows[0].seq, after_seq + 1),
        until_s=expected.until_s,
    )  # fmt: skip
    seqs = np.array([row.seq for row in rows])
    made = []
    for window in found:
        first, stop = np.searchsorted(seqs, [window.cut.first_seq, window.cut.last_seq + 1])
        right = sum(_right(row, regression=window.regression) for row in rows[first:stop])
        made.append(Counted(window, int(stop - first), right))
    return tuple(c for c in made if c.labelled and not c.window.verdict.breaks)


def outcomes(
    connection: sa.Connection,
    project: str,
    version: str,
    seqs: tuple[int, int],
    *,
    expected: Expected,
) -> Sequence[sa.Row[Any]]:
    """Return the labelled predictions that `accuracy` counts, the newest `MOST_OUTCOMES` of them.

    In their order, with `seq, label, probabilities, example_id, entity, redacted`.
    """
    told, _ = _told(connection, project, _span(project, version, seqs, expected.until_s), expected)
    return sorted(told, key=lambda row: row.seq)[-MOST_OUTCOMES:]


def _told(
    connection: sa.Connection, project: str, span: sa.ColumnElement[bool], expected: Expected
) -> tuple[list[sa.Row[Any]], int]:
    """Return the labelled predictions that measure, and how many are labelled at all."""
    newest = {row.prediction_id: row for row in connection.execute(_labelled(project, span))}
    drawn = [r for r in newest.values() if r.label_source == _RANDOM]
    given = [
        r for r in newest.values()
        if r.label_source not in (_RANDOM, _ACTIVE) and sampled(r.example_id, share=expected.share)
    ]  # fmt: skip
    if given:
        wanted = expected.share * _count(connection, span)
        if len(given) + len(drawn) < expected.min_coverage * wanted:
            given = []
    return drawn + given, len(newest)


def _count(connection: sa.Connection, span: sa.ColumnElement[bool]) -> int:
    count = sa.select(sa.func.count()).select_from(predictions).where(span)
    return int(connection.scalar(count) or 0)


@dataclass(frozen=True)
class Expected:
    """Which labels are expected, and by when.

    Attributes:
        until_s: predictions made later have no labels yet by right, seconds since 1970.
        share: of the predictions that form the random sample.
        min_coverage: least labelled share of it from which volunteered labels measure.
    """

    until_s: float
    share: float
    min_coverage: float


def expect(section: LabelsSection, now_s: float) -> Expected:
    """Return what `params.yaml` says of labels, at a time."""
    return Expected(now_s - 60 * section.delay_minutes, section.sample, section.min_coverage)


def _span(
    project: str, version: str, seqs: tuple[int, int], until_s: float
) -> sa.ColumnElement[bool]:
    return (
        (predictions.c.project == project)
        & SERVED
        & (predictions.c.version == version)
        & predictions.c.seq.between(*seqs)
        & (predictions.c.at_s <= until_s)
    )


def _labelled(project: str, span: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return (
        sa.select(
            labels.c.prediction_id, labels.c.label, labels.c.label_source,
            predictions.c.example_id, predictions.c.probabilities, predictions.c.seq,
            predictions.c.at_s, predictions.c.entity, predictions.c.redacted,
        )
        .join(predictions, predictions.c.id == labels.c.prediction_id)
        .where(span & (labels.c.project == project))
        .order_by(labels.c.at_s, labels.c.seq)
    )  # fmt: skip


def _right(row: sa.Row[Any], *, regression: bool) -> bool:
    """Say whether a labelled prediction was right.

    Raises:
        DataError: if it was logged without scores: unknown is neither right nor wrong.
    """
    answers = np.frombuffer(row.probabilities, dtype="<f4")[np.newaxis]
    if not answers.size:
        name = row.prediction_id
        msg = f"prediction {name}: its logged scores are empty, so its label measures nothing; "
        raise DataError(msg + f"restore the row, or delete its labels: prediction_id = '{name}'")
    right = hits(np.array([row.label]), answers, regression=regression)
    return bool(np.isfinite(answers).all() and right[0])


def newest_s(
    connection: sa.Connection, project: str, version: str, since_seq: int, expected: Expected
) -> float:
    """Return when a version's newest prediction was made that measures, from a seq on; 0: none."""
    told, _ = _told(
        connection, project, _span(project, version, (since_seq, 2**62), expected.until_s), expected
    )
    return max((float(row.at_s) for row in told), default=0.0)


def renewed(
    connection: sa.Connection, window: windows.Window, expected: Expected
) -> tuple[windows.Window, Sequence[sa.Row[Any]]]:
    """Fill in what a window's labels say; return it, and its labelled predictions that measure.

    Before all its labels have had their time there are none: half a window's would stand for all.
    """
    cut = window.cut
    if cut.end_s > expected.until_s:
        return window, ()
    window = windows.claim(connection, window)  # before its labels are read
    span = _span(cut.project, cut.version, (cut.first_seq, cut.last_seq), expected.until_s)
    told, _ = _told(connection, cut.project, span, expected)
    if len(told) < window.labelled and _count(connection, span) < cut.rows:
        return window, ()  # the log's retention took them: what they said stays said
    correct = sum(_right(row, regression=window.regression) for row in told)
    error = _error(told) if window.regression else None
    filled = replace(window, labelled=len(told), correct=correct, error=error)
    if filled != window:
        windows.set_measured(connection, filled)
    return filled, told


def _error(told: Sequence[sa.Row[Any]]) -> float | None:
    """Return the mean absolute error of labelled predictions; None where no answer is finite."""
    answers = [np.frombuffer(row.probabilities, dtype="<f4") for row in told]
    off = [
        errors(np.array([row.label]), each[np.newaxis])[0]
        for row, each in zip(told, answers, strict=True)
        if np.isfinite(each).all()
    ]
    # Divided first: anybody may send the largest of numbers as a label, and twice that is none.
    return float(np.sum(np.array(off) / len(off))) if off else None
