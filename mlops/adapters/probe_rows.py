"""Labelled predictions that a probe may look at: those that train; of them some measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from mlops.adapters.cohort import ACTIVE
from mlops.adapters.predictions import labelled
from mlops.adapters.sql.tables import SERVED, labels, predictions
from mlops.core import features
from mlops.core.example import key_hash, side
from mlops.core.grouping import groups, split_keys
from mlops.core.quality import sound
from mlops.core.schema import outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.prediction import Labelled
    from mlops.core.schema import Schema
    from mlops.params.split import SplitSection

_LOOKED = 2  # times the rows wanted: some judge, some have no features


@dataclass(frozen=True)
class Found:
    """Rows that train, the newest first.

    Attributes:
        features: (N, *shape) of the schema.
        answers: float32 (N, K): what the version said of them.
        label: int64 (N,); of a regression float64.
        key: uint64 (N,): hash of the split key.
        scored: bool (N,): not chosen for being hard, so that they measure.
        judging: rows that were left out because they judge.
        unkept: rows that were left out because their features were not logged whole, or do not
            fit.
    """

    features: NDArray[Any]
    answers: NDArray[np.float32]
    label: NDArray[Any]
    key: NDArray[np.uint64]
    scored: NDArray[np.bool_]
    judging: int
    unkept: int

    def without(self, seen: NDArray[np.uint64]) -> Found:
        """Return the rows whose keys are not among those that a version was fitted on."""
        own = ~np.isin(self.key, seen)
        names = ("features", "answers", "label", "key", "scored")
        return replace(self, **{name: getattr(self, name)[own] for name in names})

    def lack(self, least: int) -> str:
        """Say why these rows are too few."""
        measuring = int(self.scored.sum())
        words = [f"{measuring} labelled rows may train and measure, {least} are needed"]
        if self.judging:
            words.append(f"{self.judging} judge (the test side) and must not be spent")
        if hard := len(self.key) - measuring:
            words.append(f"{hard} were chosen for being hard")
        if self.unkept:
            words.append(
                f"{self.unkept} have no whole features that fit (MLOPS_PAYLOADS, MLOPS_REDACT)"
            )
        return "; ".join(words)


def count(engine: sa.Engine, project: str, version: str, since_seq: int) -> int:
    """Count a version's labelled predictions from a place of the log on."""
    query = sa.select(sa.func.count(sa.distinct(predictions.c.seq))).select_from(_joined())
    with engine.connect() as connection:
        return int(connection.scalar(query.where(*_mine(project, version, since_seq))) or 0)


def find(
    engine: sa.Engine,
    project: str,
    version: str,
    *,
    schema: Schema,
    split: SplitSection,
    since_seq: int,
    most: int,
) -> Found:
    """Return at most so many of a version's newest labelled predictions that train.

    The validation side counts as one that trains: the gate judges on the test side alone.

    Raises:
        DataError: if logged features are of another schema than they claim.
    """
    query = sa.select(predictions.c.seq).distinct().select_from(_joined())
    query = query.where(*_mine(project, version, since_seq)).order_by(predictions.c.seq.desc())
    with engine.connect() as connection:
        seqs = list(connection.scalars(query.limit(_LOOKED * most)))
    rows = labelled(engine, project, version, first_seq=min(seqs, default=2**62))[::-1]
    whole = [row for row in rows if _usable(row, schema)]
    contents = [row.logged.prediction.features or b"" for row in whole]
    values = features.read(contents, schema)
    entities = [row.logged.prediction.entity for row in whole]
    keys = split_keys(entities, groups(values, schema)) if whole else []
    may = [n for n, key in enumerate(keys) if _trains(key, split)]
    train = may[:most]
    kept = [whole[n] for n in train]
    return Found(
        features=features.arrays(features.take(values, train, schema), schema),
        answers=np.array([row.logged.scores for row in kept], np.float32),
        label=np.array([row.label.label for row in kept],
                       np.int64 if schema.classes else np.float64),
        key=np.array([key_hash(keys[n]) for n in train], np.uint64),
        scored=np.array([row.label.label_source != ACTIVE for row in kept], np.bool_),
        judging=len(whole) - len(may),
        unkept=len(rows) - len(whole),
    )  # fmt: skip


def _trains(key: str, split: SplitSection) -> bool:
    return side(key, salt=split.salt, validation=split.validation, test=split.test) != "test"


def _usable(row: Labelled, schema: Schema) -> bool:
    """Say whether a row's features were kept whole and fit, and its answer is one."""
    made, scores = row.logged.prediction, row.logged.scores
    content = None if made.redacted else made.features
    if content is None or not features.fits(content, schema) or len(scores) != outputs(schema):
        return False
    return bool(sound(scores[np.newaxis], regression=not schema.classes)[0])


def _joined() -> sa.Join:
    same = sa.and_(
        labels.c.prediction_id == predictions.c.id, labels.c.project == predictions.c.project
    )
    return labels.join(predictions, same)


def _mine(project: str, version: str, since_seq: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        labels.c.project == project, predictions.c.version == version,
        predictions.c.seq >= since_seq, SERVED,
    )  # fmt: skip
