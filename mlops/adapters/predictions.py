"""The prediction log and its labels in SQL: idempotent inserts, windows, what to collect."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlops.adapters.scores import put_scores
from mlops.adapters.sql.tables import SERVED, WHOLE, labels, predictions
from mlops.core.prediction import Label, Labelled, Logged, Prediction, Score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK = 500  # SQLite's oldest limit is 999 variables in one statement


def insert_batch(
    engine: sa.Engine,
    project: str,
    rows: Sequence[Prediction],
    given: Sequence[Label] = (),
    scored: Sequence[Score] = (),
) -> tuple[int, int]:
    """Insert predictions, labels and scores in one transaction; what is there stays as it is.

    A label that repeats the newest one, or is older than it, changes nothing: so a spool may be
    replayed and a client may repeat itself.

    Returns:
        How many predictions, and how many labels and scores, were new.
    """
    with engine.begin() as connection:
        found = _insert(connection, project, rows), _label(connection, project, given)
        return found[0], found[1] + put_scores(connection, project, scored)


def find(engine: sa.Engine, project: str, prediction_id: str) -> Logged | Labelled | None:
    """Return one prediction, with its newest label if it has one."""
    with engine.connect() as connection:
        row = connection.execute(
            sa.select(predictions).where(
                predictions.c.project == project, predictions.c.id == prediction_id, SERVED
            )
        ).one_or_none()
        if row is None:
            return None
        newest = newest_labels(connection, project, [prediction_id]).get(prediction_id)
    logged = _logged(row)
    return logged if newest is None else Labelled(logged, newest, ())


def labelled(
    engine: sa.Engine,
    project: str,
    version: str,
    *,
    first_seq: int = 0,
    last_seq: int | None = None,
) -> list[Labelled]:
    """Return a version's labelled predictions between two places of the log, both inclusive."""
    where = [predictions.c.version == version, predictions.c.seq >= first_seq]
    if last_seq is not None:
        where.append(predictions.c.seq <= last_seq)
    return _labelled(engine, project, *where)


def uncollected(engine: sa.Engine, project: str) -> list[Labelled]:
    """Return predictions with a label that no production shard holds yet, kept whole."""
    return _labelled(engine, project, labels.c.collected_in.is_(None), WHOLE)


def count_unfit(engine: sa.Engine, project: str) -> tuple[int, int]:
    """Count labelled predictions that cannot be collected.

    Returns:
        How many were logged without features, and how many without some of their columns.
    """
    bare = predictions.c.features.is_(None)
    kinds = (bare, ~bare & predictions.c.redacted.is_not(None))
    query = (
        sa.select(
            *(sa.func.count(sa.distinct(sa.case((kind, predictions.c.id)))) for kind in kinds)
        )
        .select_from(_joined())
        .where(labels.c.project == project, labels.c.collected_in.is_(None))
    )
    with engine.connect() as connection:
        hidden, redacted = connection.execute(query).one()
    return int(hidden), int(redacted)


def claim(engine: sa.Engine, project: str, label_seqs: Sequence[int], shard: str) -> None:
    """Say, in one transaction, which production shard holds these labels."""
    with engine.begin() as connection:
        for part in _chunks(label_seqs):
            connection.execute(
                sa.update(labels)
                .where(labels.c.project == project, labels.c.seq.in_(part))
                .where(labels.c.collected_in.is_(None))
                .values(collected_in=shard)
            )


def claimed(engine: sa.Engine, project: str, shard: str) -> list[Labelled]:
    """Return what a production shard holds, or must hold after a crash."""
    return _labelled(engine, project, labels.c.collected_in == shard)


def claimed_shards(engine: sa.Engine, project: str) -> list[str]:
    """Return the name of every production shard that labels were collected in, sorted."""
    query = sa.select(sa.distinct(labels.c.collected_in)).where(
        labels.c.project == project, labels.c.collected_in.is_not(None)
    )
    with engine.connect() as connection:
        return sorted(str(name) for name in connection.execute(query).scalars())


def _joined() -> sa.Join:
    same = sa.and_(
        labels.c.prediction_id == predictions.c.id, labels.c.project == predictions.c.project
    )
    return labels.join(predictions, same)


def _labelled(engine: sa.Engine, project: str, *where: sa.ColumnElement[bool]) -> list[Labelled]:
    given = [
        labels.c.seq.label("label_seq"), labels.c.label, labels.c.label_source,
        labels.c.at_s.label("label_at_s"),
    ]  # fmt: skip
    query = (
        sa.select(predictions, *given)
        .select_from(_joined())
        .where(labels.c.project == project, SERVED, *where)
        .order_by(predictions.c.seq, labels.c.at_s, labels.c.seq)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    found = []
    for _, group in groupby(rows, key=lambda row: row.seq):
        same = list(group)
        newest = same[-1]
        label = Label(newest.id, newest.label, newest.label_source, newest.label_at_s)
        found.append(Labelled(_logged(newest), label, tuple(row.label_seq for row in same)))
    return found


def _insert(connection: sa.Connection, project: str, rows: Sequence[Prediction]) -> int:
    if not rows:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(predictions).on_conflict_do_nothing(index_elements=["id"])
    fields = Prediction.__dataclass_fields__
    before = _count(connection, [row.id for row in rows])
    connection.execute(
        statement,
        [{"project": project, **{name: getattr(row, name) for name in fields}} for row in rows],
    )
    return len({row.id for row in rows}) - before


def _count(connection: sa.Connection, ids: Sequence[str]) -> int:
    return sum(
        connection.execute(
            sa.select(sa.func.count()).select_from(predictions).where(predictions.c.id.in_(part))
        ).scalar_one()
        for part in _chunks(ids)
    )


def _label(connection: sa.Connection, project: str, given: Sequence[Label]) -> int:
    newest = newest_labels(connection, project, [row.prediction_id for row in given])
    fresh = []
    for row in sorted(given, key=lambda row: row.at_s):
        last = newest.get(row.prediction_id)
        same = last is not None and (last.label, last.label_source) == (row.label, row.label_source)
        if same or (last is not None and last.at_s >= row.at_s):
            continue
        newest[row.prediction_id] = row
        fresh.append({
            "project": project, "prediction_id": row.prediction_id, "label": row.label,
            "label_source": row.label_source, "at_s": row.at_s,
        })  # fmt: skip
    if fresh:
        connection.execute(sa.insert(labels), fresh)
    return len(fresh)


def newest_labels(connection: sa.Connection, project: str, ids: Sequence[str]) -> dict[str, Label]:
    """Return the newest label of each labelled prediction among these, by its id."""
    found: dict[str, Label] = {}
    for part in _chunks(sorted(set(ids))):
        query = (
            sa.select(labels)
            .where(labels.c.project == project, labels.c.prediction_id.in_(part))
            .order_by(labels.c.at_s, labels.c.seq)
        )
        for row in connection.execute(query):
            found[row.prediction_id] = Label(
                row.prediction_id, row.label, row.label_source, row.at_s
            )
    return found


def _logged(row: Any) -> Logged:  # SQLAlchemy's rows have no static columns
    values = {name: getattr(row, name) for name in Prediction.__dataclass_fields__}
    return Logged(row.seq, Prediction(**values), np.frombuffer(row.probabilities, dtype="<f4"))


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
