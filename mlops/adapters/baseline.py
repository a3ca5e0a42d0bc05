"""A version's reference, as windows are compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.reference import read_reference
from mlops.adapters.sight import Sight, learn
from mlops.core.drift import Reference, presort
from mlops.core.grouping import entity_keys
from mlops.core.likeness import SAMPLE_ROWS, Library, learn_library
from mlops.core.quality import errors, hits
from mlops.core.redacted import blank_rows
from mlops.core.schema import ImageSchema
from mlops.core.usual import Usual, usual
from mlops.errors import DataError, MonitorError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.columns import Columns
    from mlops.core.schema import Schema

_SHOWN = 6
_MIN_LABELS = 30


@dataclass(frozen=True)
class Baseline:
    """What windows of a version are compared with.

    Attributes:
        columns: of the reference rows.
        sight: that windows are seen by.
        in_order: whether the rows stand in the order of time.
        key: uint64, (N,): equal for rows of one entity.
        reference: the same, presorted.
        right: (N,): 1 where the version was right, 0 where it was not, NaN without a label; a
            regression is right where the target lies between its outer quantiles.
        error: (N,): how far a regression's answer was from the target; NaN without a label, and
            of a classifier.
        accuracy: share of right answers; None with fewer than 30 labels.
        labels: of those rows.
        usual: what they hold, that windows must not break with.
        schema: of the version.
        shown: up to six images, uint8 (N, H, W, C), for the mail; none of other kinds.
        sample: of the examples, that known corruptions are tried on.
        redacted: columns of a table that are blank in every row, and not watched.
    """

    columns: Columns
    sight: Sight
    in_order: bool
    key: NDArray[np.uint64]
    reference: Reference
    right: NDArray[np.float64]
    error: NDArray[np.float64]
    accuracy: float | None
    labels: int
    usual: Usual
    schema: Schema
    shown: NDArray[np.uint8]
    sample: NDArray[Any]
    redacted: tuple[str, ...] = ()

    @cached_property
    def likenesses(self) -> Library | None:
        """What known corruptions would do to its pictures; nothing of other kinds."""
        if not isinstance(self.schema, ImageSchema):
            return None
        return learn_library(self.sample, self.schema)


def read_baseline(folder: Path, redacted: tuple[str, ...] = ()) -> Baseline:
    """Read `reference.npz` of a model folder.

    Args:
        folder: of the version.
        redacted: columns of a table that the rows to be compared lack: they are blanked here, too,
            so that what the others, the relations and the model's embedding look like without
            them is learned, and both sides are alike.

    Raises:
        MonitorError: if it is missing, damaged or empty: unknown is not healthy.
    """
    rows = read_reference(folder)
    schema, label, times, known = rows.schema, rows.label, rows.observed_s, rows.known
    right, error = np.full((2, len(label)), np.nan)
    right[known] = hits(label[known], rows.answers[known], regression=not schema.classes)
    if not schema.classes:
        error[known] = errors(label[known], rows.answers[known])
    order = np.argsort(times, kind="stable")
    order = order[rows.fit[order]]
    # Before the features are blanked: a row without an entity is known by what it holds.
    key = entity_keys(rows.key[order], rows.features[order], schema)
    features = blank_rows(rows.features, schema, redacted)
    sight, seen = _learned(
        features[order], rows.answers[order], key, schema, folder, redacted=redacted
    )
    return Baseline(
        columns=seen,
        sight=sight,
        in_order=bool(np.isfinite(times).all()),
        key=key,
        reference=presort(seen),
        right=right[order],
        error=error[order],
        accuracy=float(right[known].mean()) if known.sum() >= _MIN_LABELS else None,
        labels=int(known.sum()),
        usual=usual(features, schema),
        schema=schema,
        shown=pictures(features, schema),
        sample=features[np.linspace(0, len(features) - 1, SAMPLE_ROWS).astype(np.int64)],
        redacted=redacted,
    )


def _learned(
    features: NDArray[Any],
    answers: NDArray[np.float32],
    key: NDArray[np.uint64],
    schema: Schema,
    folder: Path,
    *,
    redacted: tuple[str, ...],
) -> tuple[Sight, Columns]:
    try:
        return learn(features, answers, key, schema, folder, redacted=redacted)
    except DataError as error:
        raise MonitorError(str(error)) from None


def pictures(features: NDArray[Any], schema: Schema) -> NDArray[np.uint8]:
    """Return the first six images for a mail; none where the examples are no images."""
    if isinstance(schema, ImageSchema):
        return features[:_SHOWN]
    return np.zeros((0, 1, 1, 1), dtype=np.uint8)
