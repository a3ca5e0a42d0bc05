"""Predictions given out for labelling, and their labels taken back: how each was chosen is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from mlops.adapters import predictions as log
from mlops.adapters.labelling_file import read_lines, value_of
from mlops.adapters.sql.tables import SERVED, label_requests, labels, predictions
from mlops.core.acquisition import choose_hard
from mlops.core.example import label_order
from mlops.core.features import decode, fits
from mlops.core.prediction import Label
from mlops.core.quality import sound
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.core.prediction import LabelSource
    from mlops.core.schema import Schema

_POOL_ROWS = 20_000  # newest predictions that are looked at
_RANDOM: LabelSource = "random"
_ACTIVE: LabelSource = "active"


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


@dataclass(frozen=True)
class Task:
    """One prediction to be labelled.

    Attributes:
        prediction_id: whose label is wanted.
        chosen: how it was chosen.
        features: canonical bytes.
        redacted: columns of a table that these lack, for nobody may read them.
    """

    prediction_id: str
    chosen: LabelSource
    features: bytes
    redacted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken:
    """What an import did: new labels, those known already, blank lines, new ones by choice."""

    new: int
    known: int
    blank: int
    random: int
    active: int


def ask(
    engine: sa.Engine, project: str, wanted: Wanted, schema: Schema, now_s: float
) -> tuple[Task, ...]:
    """Choose predictions, remember how each was chosen, and return them in no telling order.

    The random part is drawn from all predictions, labelled ones too: drawn only from what nobody
    labelled yet, it would lack what people complained of. Whoever labels does not see which row is
    of which part, nor what the model said.
    """
    with engine.begin() as connection:
        rows = _pool(connection, project, wanted)
        given = dict(_requested(connection, project, [row.id for row in rows]))
        drawn = [r for r in rows if given.get(r.id) != _RANDOM and r.label_source != _RANDOM]
        drawn = sorted(drawn, key=lambda row: label_order(_example(row)))[: wanted.random]
        taken = {row.id for row in drawn}
        free = [r for r in rows if r.id not in taken | set(given) and r.label_source is None]
        hard = _hard(free, schema, wanted.hard)
        tasks = [Task(r.id, _RANDOM, r.features, r.redacted) for r in drawn]
        tasks += [Task(r.id, _ACTIVE, r.features, r.redacted) for r in hard]
        _remember(connection, project, tasks, now_s)
    return tuple(sorted(tasks, key=lambda task: label_order(task.prediction_id)))


def take(
    engine: sa.Engine, project: str, path: Path, classes: Sequence[str], now_s: float
) -> Taken:
    """Take the labels of a file, all or none; taken twice, they are taken once.

    Raises:
        DataError: naming file, line, key and remedy, if anything is not as it was given out.
    """
    table = read_lines(path)
    with engine.connect() as connection:
        chosen = dict(_requested(connection, project, [row[1] for _, row in table]))
    found: dict[str, Label] = {}
    blank = 0
    for line, (_, identity, _, name, *_) in table:
        where = f"{path}:{line}"
        if identity not in chosen:
            msg = f"{where}: prediction_id = {identity[:64]!r} was not given out; "
            raise DataError(msg + "labels that nobody asked for go to POST /feedback")
        if not name.strip():
            blank += 1
            continue
        value = value_of(name.strip(), classes, where)
        label = Label(identity, value, _source(chosen[identity]), now_s)
        if identity in found and found[identity] != label:
            msg = f"{where}: prediction_id = {identity!r} is labelled twice and differently"
            raise DataError(msg + "; keep one of the lines")
        found[identity] = label
    before = _sources(engine, project, list(found))
    _, new = log.insert_batch(engine, project, (), list(found.values()))
    fresh = [x for x in found.values() if before.get(x.prediction_id) != (x.label, x.label_source)]
    random = sum(label.label_source == _RANDOM for label in fresh)
    return Taken(new, len(found) - new, blank, random, len(fresh) - random)


def _pool(connection: sa.Connection, project: str, wanted: Wanted) -> Sequence[sa.Row[Any]]:
    """Return the newest predictions, each example once, with how it was labelled if it was."""
    newest = (
        sa.select(labels.c.label_source)
        .where(labels.c.project == project, labels.c.prediction_id == predictions.c.id)
        .order_by(labels.c.at_s.desc(), labels.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(
        sa.select(
            predictions.c.id, predictions.c.example_id, predictions.c.features,
            predictions.c.probabilities, predictions.c.redacted, newest.label("label_source"),
        )
        .where(
            (predictions.c.project == project) & SERVED
            & (predictions.c.version == wanted.version)
            & (predictions.c.seq >= wanted.since_seq)
            & predictions.c.features.is_not(None)
        )
        .order_by(predictions.c.seq.desc())
        .limit(_POOL_ROWS)
    ).all()  # fmt: skip
    return list({_example(row): row for row in rows}.values())


def _example(row: sa.Row[Any]) -> str:
    """Return what is equal for rows of one example; what is redacted may tell rows apart."""
    return str(row.id if row.redacted else row.example_id)


def _hard(rows: Sequence[sa.Row[Any]], schema: Schema, count: int) -> list[sa.Row[Any]]:
    fit = [r for r in rows if fits(r.features, schema)]
    shown = [np.frombuffer(r.probabilities, dtype="<f4") for r in fit]
    if not fit or len({len(p) for p in shown}) != 1:
        return []
    answers, regression = np.stack(shown), not schema.classes
    known = np.flatnonzero(sound(answers, regression=regression))
    features = decode([r.features for r in fit], schema).reshape(len(fit), -1).astype(np.float64)
    chosen = choose_hard(answers[known], features[known], count, regression=regression)
    return [fit[n] for n in known[chosen]]


def _requested(
    connection: sa.Connection, project: str, ids: Sequence[str]
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for start in range(0, len(ids), 500):
        query = sa.select(label_requests.c.prediction_id, label_requests.c.chosen).where(
            label_requests.c.project == project,
            label_requests.c.prediction_id.in_(ids[start : start + 500]),
        )
        found += [(row.prediction_id, row.chosen) for row in connection.execute(query)]
    return found


def _remember(connection: sa.Connection, project: str, tasks: Sequence[Task], now_s: float) -> None:
    for task in tasks:  # drawn at random later wins: a random row measures
        mine = (label_requests.c.project == project) & (
            label_requests.c.prediction_id == task.prediction_id
        )
        values = {"chosen": task.chosen, "at_s": now_s}
        if not connection.execute(label_requests.update().where(mine).values(values)).rowcount:
            connection.execute(label_requests.insert().values(
                project=project, prediction_id=task.prediction_id, **values
            ))  # fmt: skip


def _sources(engine: sa.Engine, project: str, ids: Sequence[str]) -> dict[str, tuple[float, str]]:
    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(labels.c.prediction_id, labels.c.label, labels.c.label_source)
            .where(labels.c.project == project, labels.c.prediction_id.in_(ids))
            .order_by(labels.c.at_s, labels.c.seq)
        )
        return {row.prediction_id: (row.label, row.label_source) for row in rows}


def _source(chosen: str) -> LabelSource:
    return _RANDOM if chosen == _RANDOM else _ACTIVE
