"""A version's reference, as windows are compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import read_json
from mlops.adapters.sight import Sight, learn
from mlops.adapters.snapshot import has_label
from mlops.core.drift import Reference, presort
from mlops.core.grouping import entity_keys
from mlops.core.likeness import SAMPLE_ROWS, Library, learn_library
from mlops.core.quality import hits, sound
from mlops.core.redacted import blank_rows
from mlops.core.schema import ImageSchema, parse_schema
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
    rows = _read(folder)
    schema, label, times = rows.schema, rows.label, rows.observed_s
    known = has_label(label) & rows.fit
    right = np.full(len(label), np.nan)
    right[known] = hits(label[known], rows.answers[known], regression=not schema.classes)
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
        accuracy=float(right[known].mean()) if known.sum() >= _MIN_LABELS else None,
        labels=int(known.sum()),
        usual=usual(features, schema),
        schema=schema,
        shown=pictures(features, schema),
        sample=features[np.linspace(0, len(features) - 1, SAMPLE_ROWS).astype(np.int64)],
        redacted=redacted,
    )


@dataclass(frozen=True)
class _Rows:
    """`reference.npz` as it stands; `fit` says which rows have a sound answer."""

    schema: Schema
    features: NDArray[Any]
    answers: NDArray[np.float32]
    label: NDArray[Any]
    observed_s: NDArray[np.float64]
    key: NDArray[np.uint64]
    fit: NDArray[np.bool_]


def _read(folder: Path) -> _Rows:
    path, model = folder / "reference.npz", folder / "model.json"
    try:
        schema = parse_schema(read_json(model).get("schema"), str(model))
        with np.load(path, allow_pickle=False) as stored:
            features, answers = stored["features"], stored["probabilities"]
            label = stored["label"]
            times = stored["observed_s"] if "observed_s" in stored else np.full(len(label), np.nan)
            key = stored["key"] if "key" in stored else np.arange(len(label), dtype=np.uint64)
    except (OSError, ValueError, KeyError, EOFError, DataError) as error:
        msg = f"{path}: no usable reference ({error}); run: mlops evaluate, mlops register"
        raise MonitorError(msg) from None
    fit = np.zeros(0, dtype=bool)
    if answers.ndim == 2:
        fit = sound(answers, regression=not schema.classes)
    if features.shape[1:] != schema.shape or len(fit) != len(features) or fit.sum() < 2:
        msg = f"{path}: {int(fit.sum())} usable rows of {len(features)}; run: mlops evaluate"
        raise MonitorError(msg)
    return _Rows(schema, features, answers, label, times, key, fit)


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
