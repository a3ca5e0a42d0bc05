"""Rows that a window's page is made of, beside its columns: the reference's, and labelled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.evidently.performance import Labelled
from mlops.adapters.reference import read_reference
from mlops.core.redacted import blank_rows
from mlops.core.schema import outputs
from mlops.core.sent import sent_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from mlops.core.schema import Schema
    from mlops.core.sent import SentRows


def reference_rows(folder: Path, redacted: tuple[str, ...] = ()) -> tuple[SentRows, Labelled]:
    """Return rows of a version's reference as they came, and those with a label.

    Args:
        folder: of the version.
        redacted: columns that the window lacks: they are blank here, too.

    Raises:
        MonitorError: if `reference.npz` is missing or damaged.
    """
    rows = read_reference(folder)
    features = blank_rows(rows.features, rows.schema, redacted)
    ids = [row.tobytes().hex() for row in features.reshape(len(features), -1)]
    return (
        sent_rows(features, rows.fit, ids, rows.schema),
        Labelled(rows.label[rows.known], rows.answers[rows.known], rows.schema.classes),
    )


def labelled_rows(told: Sequence[sa.Row[Any]], schema: Schema) -> Labelled:
    """Return labelled predictions as arrays.

    Args:
        told: with `label` and `probabilities`, float32 bytes.
        schema: of the version.
    """
    count = outputs(schema)
    answers = np.full((len(told), count), np.nan, dtype=np.float32)
    for at, row in enumerate(told):
        if len(row.probabilities) == 4 * count:
            answers[at] = np.frombuffer(row.probabilities, dtype="<f4")
    return Labelled(np.array([row.label for row in told]), answers, schema.classes)
