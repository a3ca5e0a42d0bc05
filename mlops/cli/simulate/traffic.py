"""The drill's traffic: rows that the model in service was not fitted on, later shifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.snapshot import has_label
from mlops.adapters.sources import base
from mlops.core import features
from mlops.core.example import key_hash, reserved
from mlops.core.grouping import groups, split_keys
from mlops.core.schema import TableSchema, compatible
from mlops.core.shifted import relabelled
from mlops.core.shifted import shifted as shifted_copies
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.drill import Shift
    from mlops.core.schema import Schema
    from mlops.params.data import DataSection

_LEAST = 30


@dataclass(frozen=True)
class Pool:
    """Labelled rows that traffic is drawn from.

    Attributes:
        schema: of the rows.
        values: as in `mlops.core.features`.
        labels: (N,), the truth.
        entities: per row what it is about, or None.
        words: where they come from.
    """

    schema: Schema
    values: Any
    labels: NDArray[Any]
    entities: tuple[str | None, ...]
    words: str


@dataclass(frozen=True)
class Batch:
    """Rows on their way to the model, with the truth that comes later or never."""

    values: Any
    labels: NDArray[Any]
    entities: tuple[str | None, ...]


def open_pool(data: DataSection, root: Path, folder: Path, schema: Schema) -> Pool:
    """Return the reserved rows of the source; without any, the reference rows of the version.

    Args:
        data: the section of `params.yaml`.
        root: of the project.
        folder: the version's files.
        schema: the version's.

    Raises:
        DataError: if there are hardly any rows, or the source's are not what the model takes.
    """
    pool = _reserved(data, root, folder) if data.reserve else _reference(folder, schema)
    if not compatible(schema, pool.schema):
        msg = (
            f"data.source = {data.source} gives other classes or columns than the model in service"
        )
        raise DataError(f"params.yaml: {msg} takes; bring that one up to date: dvc repro")
    if len(pool.labels) < _LEAST:
        msg = f"{len(pool.labels)} labelled rows for traffic, at least {_LEAST} are needed"
        raise DataError(f"params.yaml: data.reserve = {data.reserve}: {msg}; raise it")
    return pool


def _reserved(data: DataSection, root: Path, folder: Path) -> Pool:
    found = base.load(data, root)
    keys = split_keys(found.entities, groups(found.values, found.schema))
    fresh = np.array([reserved(key, share=data.reserve) for key in keys])
    # Production rows of an earlier demo may have been reserved ones: what it was fitted on is out.
    seen = np.load(folder / "seen.npy", allow_pickle=False)
    fresh &= ~np.isin(np.array([key_hash(key) for key in keys], dtype=np.uint64), seen)
    chosen = found.take(np.flatnonzero(fresh & has_label(found.labels)))
    words = f"{len(chosen)} reserved rows (data.reserve = {data.reserve:g}), new to the model"
    return Pool(chosen.schema, chosen.values, chosen.labels, chosen.entities, words)


def _reference(folder: Path, schema: Schema) -> Pool:
    with np.load(folder / "reference.npz", allow_pickle=False) as stored:
        known = has_label(stored["label"])
        array, labels = stored["features"][known], stored["label"][known]
    words = (
        f"{len(labels)} reference rows, because no rows are reserved (data.reserve = 0); drift is "
        "measured against these very rows, so clean windows look calmer than yours will"
    )
    return Pool(schema, features.values_of(array, schema), labels, (None,) * len(labels), words)


class Traffic:
    """Draws batches: every row once before any comes again; later through the shift."""

    def __init__(self, pool: Pool, shift: Shift, seed: int) -> None:
        """Shuffle the pool."""
        self._pool, self._shift = pool, shift
        self._random = np.random.default_rng(seed)
        self._order: list[int] = []
        array = features.arrays(pool.values, pool.schema)
        table = isinstance(pool.schema, TableSchema)
        # Not numpy's nanstd: it warns of columns without a value.
        known = np.ma.masked_invalid(array if table else np.zeros((1, 1)))
        self._spread = np.asarray(known.std(axis=0).filled(0.0))
        self._label_spread = float(np.std(pool.labels))
        self._classes = len(pool.schema.classes)

    @property
    def rows(self) -> int:
        """How many rows there are to draw from."""
        return len(self._pool.labels)

    def draw(self, rows: int, *, shifted: bool) -> Batch:
        """Return so many rows."""
        pool, shift = self._pool, self._shift
        index = self._next(rows)
        if shifted and shift.known.name == "mix":
            index = self._mixed(index)
        values, labels = features.take(pool.values, index, pool.schema), pool.labels[index]
        if shifted:
            array = features.arrays(values, pool.schema)
            changed = shifted_copies(array, pool.schema, shift, self._spread, self._random)
            values = features.values_of(changed, pool.schema)
            labels = relabelled(labels, self._classes, shift, self._label_spread, self._random)
        return Batch(values, labels, tuple(pool.entities[row] for row in index))

    def _next(self, rows: int) -> NDArray[np.int64]:
        while len(self._order) < rows:
            self._order += self._random.permutation(len(self._pool.labels)).tolist()
        taken, self._order = self._order[:rows], self._order[rows:]
        return np.array(taken, dtype=np.int64)

    def _mixed(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Replace a share of the rows by rows of one class."""
        classes = self._pool.schema.classes
        wanted = classes.index(self._shift.on) if self._shift.on else 0
        own = np.flatnonzero(self._pool.labels == wanted)
        if not len(own):
            return index
        hit = self._random.random(len(index)) < self._shift.strength
        return np.where(hit, self._random.choice(own, len(index)), index)
