"""What labels that came later say of predictions: accuracy, counted where it may be counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from mlops.adapters import windows
from mlops.adapters.sql.tables import SERVED, labels, predictions
from mlops.core.triage import Accuracy

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACTIVE = "active"  # chosen for being hard: such labels train, but measure nothing


def accuracy(
    connection: sa.Connection,
    project: str,
    version: str,
    seqs: tuple[int, int],
    reference: float | None = None,
) -> Accuracy:
    """Return the accuracy of a version's predictions between two seqs, both inclusive.

    The newest label of a prediction wins; labels chosen by active learning are left out.
    """
    rows = connection.execute(
        sa.select(labels.c.prediction_id, labels.c.label, predictions.c.probabilities)
        .join(predictions, predictions.c.id == labels.c.prediction_id)
        .where(
            (predictions.c.project == project)
            & (predictions.c.version == version)
            & predictions.c.seq.between(*seqs)
            & SERVED
            & (labels.c.project == project)
            & (labels.c.label_source != _ACTIVE)
        )
        .order_by(labels.c.at_s, labels.c.seq)
    )
    hits: dict[str, bool] = {}
    for row in rows:
        probabilities = np.frombuffer(row.probabilities, dtype="<f4")
        right = bool(np.isfinite(probabilities).all()) and row.label == probabilities.argmax()
        hits[row.prediction_id] = bool(right)
    return Accuracy(correct=sum(hits.values()), labelled=len(hits), reference=reference)


def new_labels(connection: sa.Connection, project: str, *, since_seq: int, since_s: float) -> int:
    """Count labelled predictions from a seq on whose label came after a time."""
    return int(
        connection.scalar(
            sa.select(sa.func.count(sa.distinct(labels.c.prediction_id)))
            .select_from(labels.join(predictions, predictions.c.id == labels.c.prediction_id))
            .where(
                (labels.c.project == project)
                & (predictions.c.project == project)
                & (predictions.c.seq >= since_seq)
                & (labels.c.at_s > since_s)
            )
        )
        or 0
    )


def backfill(engine: sa.Engine, recent: Sequence[windows.Window]) -> int:
    """Fill in the accuracy of windows whose labels came later; return how many changed."""
    changed = 0
    for window in recent:
        cut = window.cut
        with engine.begin() as connection:
            seen = accuracy(connection, cut.project, cut.version, (cut.first_seq, cut.last_seq))
            if (seen.labelled, seen.correct) != (window.labelled, window.correct):
                windows.set_accuracy(connection, window, seen.labelled, seen.correct)
                changed += 1
    return changed
