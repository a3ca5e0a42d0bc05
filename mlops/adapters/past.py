"""History as a backtest walks it: a source whose rows have times, or the prediction log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from mlops.adapters.predictions import newest_labels
from mlops.adapters.sources import base
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import SERVED, WHOLE, predictions
from mlops.core import features
from mlops.core.example import key_hash, sampled, side
from mlops.core.grouping import groups, split_keys
from mlops.core.past import Past
from mlops.core.schema import task
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import Schema
    from mlops.params.data import DataSection
    from mlops.params.labels import LabelsSection
    from mlops.params.split import SplitSection
    from mlops.site import Site

_ACTIVE = "active"
ENOUGH = 1000
"""Labelled predictions from which the log is a history worth walking."""


def from_source(site: Site, data: DataSection, split: SplitSection, labels: LabelsSection) -> Past:
    """Return the rows of the project's source that have a time; labels only of the random sample.

    Raises:
        DataError: if hardly any row has a time, with what to do.
    """
    examples = base.load(data, site.layout.root)
    timed = np.flatnonzero(np.isfinite(examples.observed_s))
    if len(timed) < 2:
        raise DataError(
            f"source {data.source}: its rows have no times, and a backtest walks through time. "
            "For tables and texts name the column of times in params.yaml: data.time; a source of "
            "your own gives observed_s. Or serve for a while (mlops up): with "
            f"{ENOUGH} labelled predictions the log itself is walked (mlops backtest --over log)"
        )
    order = timed[np.argsort(examples.observed_s[timed], kind="stable")]
    chosen = examples.take(order)
    schema = chosen.schema
    contents = features.canonical(chosen.values, schema)
    ids = features.identities(contents, schema)
    drawn = _drawn(ids, labels)
    label = np.where(drawn, chosen.labels, np.nan if not schema.classes else -1)
    keys = split_keys(chosen.entities, groups(chosen.values, schema))
    return _past(
        schema, features.arrays(chosen.values, schema), label, keys, split,
        observed_s=chosen.observed_s, sampled=drawn, active=np.zeros(len(ids), dtype=np.bool_),
    )  # fmt: skip


def from_log(
    site: Site, project: str, schema: Schema, split: SplitSection, labels: LabelsSection
) -> Past:
    """Return the predictions that were served, in the order of time, with their newest labels.

    Those of which columns are redacted are left out: no model was ever asked about such rows.

    Raises:
        DataError: if the log holds none whose features were kept whole.
    """
    with database(site) as engine, engine.connect() as connection:
        rows = connection.execute(
            sa.select(predictions.c.id, predictions.c.at_s, predictions.c.example_id,
                      predictions.c.entity, predictions.c.features)
            .where(predictions.c.project == project, SERVED, WHOLE)
            .order_by(predictions.c.at_s, predictions.c.seq)
        ).all()  # fmt: skip
        known = newest_labels(connection, project, [row.id for row in rows])
    rows = [row for row in rows if features.fits(row.features, schema)]
    if not rows:
        raise DataError(
            f"the prediction log of {project} holds no prediction with all its features: nothing "
            "has been served yet (mlops up), MLOPS_PAYLOADS keeps hashes only, or MLOPS_REDACT "
            "leaves columns out"
        )
    values = features.read([row.features for row in rows], schema)
    found = [known.get(row.id) for row in rows]
    none = -1 if task(schema) == "classification" else np.nan
    label = np.array([none if one is None else one.label for one in found])
    drawn = _drawn([row.example_id for row in rows], labels)
    asked = np.array([one is not None and one.label_source == "random" for one in found])
    return _past(
        schema, features.arrays(values, schema),
        label.astype(np.int64) if schema.classes else label,
        split_keys([row.entity for row in rows], groups(values, schema)), split,
        observed_s=np.array([row.at_s for row in rows]), sampled=drawn | asked,
        active=np.array([one is not None and one.label_source == _ACTIVE for one in found]),
    )  # fmt: skip


def _drawn(ids: Sequence[str], labels: LabelsSection) -> NDArray[np.bool_]:
    if labels.sample >= 1.0:
        return np.ones(len(ids), dtype=np.bool_)
    return np.array([sampled(one, share=labels.sample) for one in ids], dtype=np.bool_)


def _past(
    schema: Schema, array: NDArray[Any], label: NDArray[Any], keys: Sequence[str],
    split: SplitSection, *, observed_s: NDArray[np.float64], sampled: NDArray[np.bool_],
    active: NDArray[np.bool_],
) -> Past:  # fmt: skip
    sides = [
        side(key, salt=split.salt, validation=split.validation, test=split.test) for key in keys
    ]
    labelled = ~np.isnan(label) if label.dtype.kind == "f" else label >= 0
    return Past(
        schema=schema, features=array, label=label,
        key=np.array([key_hash(key) for key in keys], np.uint64), side=np.array(sides, np.str_),
        observed_s=observed_s, measures=labelled & sampled & ~active, sampled=sampled,
        active=active,
    )  # fmt: skip
