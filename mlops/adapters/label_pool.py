"""Which predictions may be given out for labelling, and which were already: read from the log."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlops.adapters.sql.tables import SERVED, label_requests, labels, predictions
from mlops.core.example import label_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.prediction import LabelSource

RANDOM: LabelSource = "random"
ACTIVE: LabelSource = "active"
_NEWEST = 20_000  # predictions that hard ones are chosen from
_CHUNK = 500  # SQLite's oldest limit is 999 variables in one statement
_STREAMED = 10_000

# Equal for rows of one example; what is redacted may tell rows apart.
_EXAMPLE = sa.case(
    (predictions.c.redacted.is_(None), predictions.c.example_id), else_=predictions.c.id
)


@dataclass(frozen=True)
class Wanted:
    """What to give out.

    Attributes:
        version: whose predictions.
        since_seq: first prediction.
        random: so many drawn at random, which alone measure and judge.
        hard: so many that the model is unsure of, which only train.
    """

    version: str
    since_seq: int
    random: int
    hard: int


def drawn(connection: sa.Connection, project: str, wanted: Wanted) -> list[sa.Row[Any]]:
    """Return the random part: of the whole span the first in `label_order` that nobody answered.

    Those that were given out before come first: a sample that loses what nobody answered is of
    what is easily answered. Each example once; only a label of the random sample answers it. The
    span's ids are read as a stream, so that its length costs time and no memory.
    """
    answered = _label_of(project) & (labels.c.label_source == RANDOM)
    asked = _request_of(project) & (label_requests.c.chosen == RANDOM)
    given = sa.func.min(sa.case((label_requests.c.prediction_id.is_not(None), predictions.c.seq)))
    query = (
        sa.select(
            _EXAMPLE.label("example"),
            sa.func.coalesce(given, sa.func.min(predictions.c.seq)).label("seq"),
            given.label("given"),
        )
        .select_from(predictions.outerjoin(labels, answered).outerjoin(label_requests, asked))
        .where(_span(project, wanted))
        .group_by(_EXAMPLE)
        .having(sa.func.count(labels.c.seq) == 0)
    )
    stream = connection.execute(query, execution_options={"yield_per": _STREAMED})
    first = heapq.nsmallest(
        wanted.random, stream, key=lambda row: (row.given is None, label_order(row.example))
    )
    seqs = [int(row.seq) for row in first]
    found = {
        row.seq: row
        for start in range(0, len(seqs), _CHUNK)
        for row in connection.execute(
            _asked_for(project).where(predictions.c.seq.in_(seqs[start : start + _CHUNK]))
        )
    }
    return [found[seq] for seq in seqs]


def unanswered(connection: sa.Connection, project: str, wanted: Wanted) -> list[sa.Row[Any]]:
    """Return the hard ones that were given out before and have no label, the oldest first.

    More than are wanted: some may be of the random part now.
    """
    query = (
        _asked_for(project)
        .where(_span(project, wanted), label_requests.c.chosen == ACTIVE)
        .where(~sa.exists().where(_label_of(project)))
        .order_by(label_requests.c.at_s, predictions.c.seq)
        .limit(wanted.hard + wanted.random)
    )
    return list(connection.execute(query))


def free(connection: sa.Connection, project: str, wanted: Wanted) -> list[sa.Row[Any]]:
    """Return the newest predictions that nobody labelled or was given, each example once."""
    known = sa.exists().where(_label_of(project)).label("known")
    rows = connection.execute(
        _asked_for(project)
        .add_columns(known)
        .where(_span(project, wanted))
        .order_by(predictions.c.seq.desc())
        .limit(_NEWEST)
    ).all()
    taken = {row.example for row in rows if row.known or row.chosen is not None}
    return list({row.example: row for row in rows if row.example not in taken}.values())


def requested(
    connection: sa.Connection, project: str, ids: Sequence[str]
) -> dict[str, tuple[str, str | None]]:
    """Return, of those among these ids that were given out, how they were chosen and the version.

    The version is None where the prediction is gone from the log.
    """
    mine = (predictions.c.id == label_requests.c.prediction_id) & (predictions.c.project == project)
    query = (
        sa.select(label_requests.c.prediction_id, label_requests.c.chosen, predictions.c.version)
        .select_from(label_requests.outerjoin(predictions, mine))
        .where(label_requests.c.project == project)
    )
    return {
        row.prediction_id: (row.chosen, row.version)
        for start in range(0, len(ids), _CHUNK)
        for row in connection.execute(
            query.where(label_requests.c.prediction_id.in_(ids[start : start + _CHUNK]))
        )
    }


def _asked_for(project: str) -> sa.Select[Any]:
    """Select predictions with how they were chosen, if they were given out before."""
    return sa.select(
        predictions.c.seq, predictions.c.id, _EXAMPLE.label("example"), predictions.c.features,
        predictions.c.probabilities, predictions.c.redacted, label_requests.c.chosen,
    ).select_from(predictions.outerjoin(label_requests, _request_of(project)))  # fmt: skip


def _span(project: str, wanted: Wanted) -> sa.ColumnElement[bool]:
    return (
        (predictions.c.project == project)
        & SERVED
        & (predictions.c.version == wanted.version)
        & (predictions.c.seq >= wanted.since_seq)
        & predictions.c.features.is_not(None)
    )


def _label_of(project: str) -> sa.ColumnElement[bool]:
    return (labels.c.project == project) & (labels.c.prediction_id == predictions.c.id)


def _request_of(project: str) -> sa.ColumnElement[bool]:
    return (label_requests.c.project == project) & (
        label_requests.c.prediction_id == predictions.c.id
    )
