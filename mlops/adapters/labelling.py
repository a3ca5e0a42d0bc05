"""Predictions given out for labelling, and their labels taken back: how each was chosen is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from mlops.adapters import predictions as log
from mlops.adapters.label_pool import ACTIVE, RANDOM, drawn, free, requested, unanswered
from mlops.adapters.labelling_file import read_lines, value_of
from mlops.adapters.sql.tables import label_requests, labels
from mlops.core.acquisition import choose_hard
from mlops.core.example import label_order
from mlops.core.features import decode, fits
from mlops.core.prediction import Label
from mlops.core.quality import sound
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlops.adapters.label_pool import Wanted
    from mlops.core.prediction import LabelSource
    from mlops.core.schema import Schema


@dataclass(frozen=True)
class Task:
    """One prediction to be labelled.

    Attributes:
        prediction_id: whose label is wanted.
        chosen: how it was chosen.
        features: canonical bytes.
        redacted: columns of a table that these lack, for nobody may read them.
        again: whether it was given out before, as chosen so, and nobody answered.
    """

    prediction_id: str
    chosen: LabelSource
    features: bytes
    redacted: tuple[str, ...] = ()
    again: bool = False


@dataclass(frozen=True)
class Taken:
    """What an import did.

    Attributes:
        new: labels.
        known: labels that were known already.
        blank: lines without a label.
        gone: labels of predictions that the log holds no more.
        random: new ones that measure.
        active: new ones that only train.
    """

    new: int
    known: int
    blank: int
    gone: int
    random: int
    active: int


def ask(
    engine: sa.Engine, project: str, wanted: Wanted, schema: Schema, now_s: float
) -> tuple[Task, ...]:
    """Choose predictions, remember how each was chosen, and return them in no telling order.

    The random part is drawn from all predictions, labelled ones too: drawn only from what nobody
    labelled yet, it would lack what people complained of. What was given out before and nobody
    answered comes first. Whoever labels does not see which row is of which part, nor what the model
    said.
    """
    with engine.begin() as connection:
        random = drawn(connection, project, wanted)
        mine = {row.example for row in random}
        hard = [r for r in unanswered(connection, project, wanted) if r.example not in mine]
        missing = wanted.hard - len(hard)
        if missing > 0:
            rest = [r for r in free(connection, project, wanted) if r.example not in mine]
            hard += _hard(rest, schema, missing)
        tasks = [_task(row, RANDOM) for row in random]
        tasks += [_task(row, ACTIVE) for row in hard[: wanted.hard]]
        _remember(connection, project, [task for task in tasks if not task.again], now_s)
    return tuple(sorted(tasks, key=lambda task: label_order(task.prediction_id)))


def take(
    engine: sa.Engine,
    project: str,
    path: Path,
    classes_of: Callable[[str], Sequence[str]],
    now_s: float,
) -> Taken:
    """Take the labels of a file, all or none; taken twice, they are taken once.

    Args:
        engine: the project's database.
        project: registered-model name.
        path: the file.
        classes_of: gives the classes of a version: a name's place is that among the classes of the
            version that predicted, whichever is in service now.
        now_s: seconds since 1970.

    Raises:
        DataError: naming file, line, key and remedy, if anything is not as it was given out.
    """
    table = read_lines(path)
    with engine.connect() as connection:
        chosen = requested(connection, project, [row[1] for _, row in table])
    classes = {v: classes_of(v) for v in {v for _, v in chosen.values() if v is not None}}
    found: dict[str, Label] = {}
    blank = gone = 0
    for line, (_, identity, _, name, *_) in table:
        where = f"{path}:{line}"
        if identity not in chosen:
            msg = f"{where}: prediction_id = {identity[:64]!r} was not given out; "
            raise DataError(msg + "labels that nobody asked for go to POST /feedback")
        if not name.strip():
            blank += 1
            continue
        how, version = chosen[identity]
        if version is None:
            gone += 1
            continue
        value = value_of(name.strip(), classes[version], where)
        label = Label(identity, value, _source(how), now_s)
        if identity in found and found[identity] != label:
            msg = f"{where}: prediction_id = {identity!r} is labelled twice and differently"
            raise DataError(msg + "; keep one of the lines")
        found[identity] = label
    before = _sources(engine, project, list(found))
    _, new = log.insert_batch(engine, project, (), list(found.values()))
    fresh = [x for x in found.values() if before.get(x.prediction_id) != (x.label, x.label_source)]
    random = sum(label.label_source == RANDOM for label in fresh)
    return Taken(new, len(found) - new, blank, gone, random, len(fresh) - random)


def _task(row: sa.Row[Any], chosen: LabelSource) -> Task:
    return Task(row.id, chosen, row.features, row.redacted, again=row.chosen == chosen)


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
    return RANDOM if chosen == RANDOM else ACTIVE
