"""What leaves the prediction log: old predictions, and what was said of predictions not there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters.sql.tables import WHOLE, labels, predictions, scores

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 500  # SQLite's oldest limit is 999 variables in one statement


def prune(engine: sa.Engine, project: str, *, before_s: float) -> int:
    """Delete predictions made before a time, with labels and scores; return how many predictions.

    One with a label that no production shard holds yet stays until `mlops collect` has taken it.
    Labels and scores given before that time to what is not in the log go too: nothing reads them.
    """
    gone = _repeat(engine, partial(_prune, project=project, before_s=before_s))
    for given in (labels, scores):
        _repeat(engine, partial(_forget, given=given, project=project, before_s=before_s))
    return gone


def _repeat(engine: sa.Engine, delete: Callable[[sa.Connection], int]) -> int:
    """Delete in small transactions: the log is written meanwhile."""
    gone = 0
    while True:
        with engine.begin() as connection:
            some = delete(connection)
        gone += some
        if not some:
            return gone


def _prune(connection: sa.Connection, project: str, before_s: float) -> int:
    theirs = (labels.c.prediction_id == predictions.c.id) & (labels.c.project == project)
    wanted = sa.exists().where(theirs, labels.c.collected_in.is_(None))
    old = (
        sa.select(predictions.c.id)
        .where(predictions.c.project == project, predictions.c.at_s < before_s)
        .where(~(wanted & WHOLE))
        .limit(_CHUNK)
    )
    ids = list(connection.execute(old).scalars())
    for given in (labels, scores):
        mine = (given.c.project == project) & given.c.prediction_id.in_(ids)
        connection.execute(sa.delete(given).where(mine))
    connection.execute(sa.delete(predictions).where(predictions.c.id.in_(ids)))
    return len(ids)


def _forget(connection: sa.Connection, given: sa.Table, project: str, before_s: float) -> int:
    theirs = (predictions.c.id == given.c.prediction_id) & (predictions.c.project == project)
    lost = (
        sa.select(given.c.prediction_id)
        .where(given.c.project == project, given.c.at_s < before_s, ~sa.exists().where(theirs))
        .distinct()
        .limit(_CHUNK)
    )
    ids = list(connection.execute(lost).scalars())
    mine = (given.c.project == project) & given.c.prediction_id.in_(ids) & (given.c.at_s < before_s)
    connection.execute(sa.delete(given).where(mine))
    return len(ids)
