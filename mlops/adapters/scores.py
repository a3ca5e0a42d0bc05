"""Scores of answers in SQL: the newest of each prediction, in a table that no label query reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlops.adapters.sql.tables import scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.prediction import Score


def put_scores(connection: sa.Connection, project: str, given: Sequence[Score]) -> int:
    """Keep the newest score of each prediction; return how many changed one.

    A score that repeats the one held, or is older than it, changes nothing.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(scores)
    fresh = insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=["project", "prediction_id"],
        set_={"score": fresh.score, "at_s": fresh.at_s},
        where=(scores.c.at_s < fresh.at_s) & (scores.c.score != fresh.score),
    ).returning(scores.c.prediction_id)
    changed = 0
    for one in given:
        values = {"prediction_id": one.prediction_id, "score": one.score, "at_s": one.at_s}
        changed += len(connection.execute(statement, {"project": project, **values}).all())
    return changed


def score_of(engine: sa.Engine, project: str, prediction_id: str) -> float | None:
    """Return a prediction's newest score; None if nobody has given one."""
    query = sa.select(scores.c.score).where(
        scores.c.project == project, scores.c.prediction_id == prediction_id
    )
    with engine.connect() as connection:
        found = connection.execute(query).scalar_one_or_none()
    return None if found is None else float(found)
