"""Rows that a window's page is made of, beside its columns: the reference's, and labelled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.evidently.performance import Labelled
from mlops.adapters.snapshot import has_label
from mlops.core.quality import sound
from mlops.core.redacted import blank_rows
from mlops.core.schema import outputs
from mlops.core.sent import sent_rows
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from mlops.core.schema import Schema
    from mlops.core.sent import SentRows


def reference_rows(
    folder: Path, schema: Schema, redacted: tuple[str, ...] = ()
) -> tuple[SentRows, Labelled]:
    """Return rows of a version's reference as they came, and those with a label.

    Args:
        folder: of the version.
        schema: its schema.
        redacted: columns that the window lacks: they are blank here, too.

    Raises:
        MonitorError: if `reference.npz` is missing or damaged.
    """
    path = folder / "reference.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            features, answers = stored["features"], stored["probabilities"]
            label = stored["label"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        msg = f"{path}: no usable reference ({error}); run: mlops evaluate, mlops register"
        raise MonitorError(msg) from None
    fit = sound(answers, regression=not schema.classes)
    features = blank_rows(features, schema, redacted)
    ids = [row.tobytes().hex() for row in features.reshape(len(features), -1)]
    known = has_label(label) & fit
    return (
        sent_rows(features, fit, ids, schema),
        Labelled(label[known], answers[known], schema.classes),
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
