"""The monitored columns of a batch: what its examples look like and what the model said of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.embedding import TOGETHER, is_column
from mlops.core.picture_columns import picture_columns
from mlops.core.schema import (
    MISSING_CATEGORY,
    ImageSchema,
    TableSchema,
    TextSchema,
    categories,
)
from mlops.core.times import TIME_PARTS, time_parts
from mlops.core.vocabulary import distinct

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.core.schema import Column, Schema

PREDICTED = "predicted"
"""Name of the one categorical column: the predicted class."""

_IMAGE = ("brightness", "contrast", "sharpness", "noise", "coverage", "slant")
_TEXT = (
    "length", "words", "word_length", "digits", "capitals", "marks", "foreign", "distinct_words",
)  # fmt: skip
_COLOUR = ("saturation",)  # of images with three channels
_PREDICTION = ("confidence", "entropy")
_REGRESSION = ("prediction", "spread")
MISSING = "missing"
"""Name of the column that holds the share of missing values of a table's row."""

_TINY = 1e-12
_CHUNK_ROWS = 4096  # bounds the memory of the float copies of the images


def elsewhere(name: str, names: tuple[str, ...]) -> bool:
    """Say whether a name is of examples of another kind: the template's parameters name some.

    Args:
        name: of a column.
        names: of the columns that these examples have.
    """
    own = set(names)
    return any(name in kind and not own & set(kind) for kind in ((*_IMAGE, *_COLOUR), _TEXT))


@dataclass(frozen=True)
class Columns:
    """Monitored columns of N rows.

    Attributes:
        names: the D numeric columns.
        values: float64, (N, D), finite.
        predicted: int64, (N,): index of the most probable class.
        classes: number of classes, K.
        named: those of the numeric columns whose values are codes of names.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    predicted: NDArray[np.int64]
    classes: int
    named: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.predicted)

    @property
    def all_names(self) -> tuple[str, ...]:
        """What is judged: the numeric columns, an embedding as one, then the categorical one."""
        return (*self.names, *((TOGETHER,) if self.embedded_at else ()), PREDICTED)

    @property
    def embedded_at(self) -> tuple[int, ...]:
        """Places of an embedding's columns among the D."""
        return tuple(n for n, name in enumerate(self.names) if is_column(name))

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Columns:
        """Return the rows that an index, a mask or a slice selects."""
        return replace(self, values=self.values[index], predicted=self.predicted[index])

    def join(self, names: tuple[str, ...], values: NDArray[np.float64]) -> Columns:
        """Return the rows with more numeric columns, (N, len(names)), after theirs."""
        both = np.concatenate([self.values, values], axis=1)
        return replace(self, names=(*self.names, *names), values=both)

    @property
    def named_at(self) -> tuple[int, ...]:
        """Places of the columns of codes among the D."""
        return tuple(self.names.index(name) for name in self.named)


def columns(features: NDArray[Any], answers: NDArray[np.float32], schema: Schema) -> Columns:
    """Compute the monitored columns of a batch.

    What the examples look like, see `looks`; and of the prediction `confidence` (largest
    probability) and `entropy` (nats), or of a regression `prediction` (the median) and `spread`
    (between the outer quantiles); there the predicted class is always the same.

    Args:
        features: (N, *shape) of the schema.
        answers: (N, K), finite: probabilities or quantiles.
        schema: of the examples.
    """
    names, named = look_names(schema), tuple(categories(schema))
    values = _measured(features, schema, room=2)
    p = np.asarray(answers, dtype=np.float64)
    if not schema.classes:
        values[:, -2], values[:, -1] = p[:, p.shape[1] // 2], p[:, -1] - p[:, 0]
        return Columns((*names, *_REGRESSION), values, np.zeros(len(p), dtype=np.int64), 1, named)
    values[:, -2] = p.max(axis=1, initial=0.0)
    values[:, -1] = -(p * np.log(np.maximum(p, _TINY))).sum(axis=1)
    return Columns(
        names=(*names, *_PREDICTION),
        values=values,
        predicted=p.argmax(axis=1).astype(np.int64),
        classes=p.shape[1],
        named=named,
    )


def look_names(schema: Schema | None) -> tuple[str, ...]:
    """Return the names of the columns that slice rows of a schema; of images if unknown."""
    if isinstance(schema, TextSchema):
        return _TEXT
    if isinstance(schema, TableSchema):
        return (*(name for column in schema.columns for name in _table_names(column)), MISSING)
    channels = schema.channels if isinstance(schema, ImageSchema) else 1
    return (*_IMAGE, *_COLOUR) if channels == len("RGB") else _IMAGE


def looks(
    features: NDArray[Any], schema: Schema, *, blank_as: float = 0.0
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return what examples look like, whatever a model says: the first of `columns`, and names.

    - Images, in units of full scale [0, 1] on their grey version: `brightness` (mean),
      `contrast` (standard deviation), `sharpness` (mean absolute difference of neighbours),
      `noise` (standard deviation of the noise: Immerkær, Fast noise variance estimation, 1996),
      `coverage` (share of pixels above half), `slant` (the diagonal part of the structure tensor,
      in [-1, 1]: it moves when images are rotated), and with three channels `saturation`.
    - Tables: every column, a missing number as `blank_as`, and `missing`, the share of the row's
      values that are. Of a category it is the code, -1 for an unknown one, -2 for none. A column
      of times is three of codes: its `hour`, `weekday` and `month`.
    - Texts: `length` (bytes), `words`, `word_length`, and of the bytes the shares of `digits`,
      `capitals` (of letters), `marks` (punctuation) and `foreign` (beyond ASCII), and
      `distinct_words`, the share of the words that are different ones.

    Args:
        features: (N, *shape) of the schema.
        schema: of the examples.
        blank_as: stands for a missing number.

    Returns:
        The names of D columns, and float64 (N, D), finite if `blank_as` is.
    """
    return look_names(schema), _measured(features, schema, blank_as)


def _measured(
    features: NDArray[Any], schema: Schema, blank_as: float = 0.0, *, room: int = 0
) -> NDArray[np.float64]:
    """Return what `looks` does, with room for more columns after its own."""
    measure: Callable[[NDArray[Any]], NDArray[np.float64]] = _text_columns
    if isinstance(schema, ImageSchema):
        measure = picture_columns
    elif isinstance(schema, TableSchema):
        measure = partial(_table_columns, schema=schema, blank_as=blank_as)
    own = len(look_names(schema))
    values = np.empty((len(features), own + room))
    for start in range(0, len(features), _CHUNK_ROWS):
        chunk = features[start : start + _CHUNK_ROWS]
        values[start : start + len(chunk), :own] = measure(chunk)
    return values


def blank(features: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each example whether it holds nothing: one colour, no value, no text; bool (N,)."""
    flat = features.reshape(len(features), -1)
    if flat.dtype.kind == "f":
        gone: NDArray[np.bool_] = np.isnan(flat).all(axis=1)
        return gone
    mask: NDArray[np.bool_] = (flat == flat[:, :1]).all(axis=1)
    return mask


def _table_names(column: Column) -> tuple[str, ...]:
    return tuple(f"{column.name} {part}" for part in TIME_PARTS) if column.time else (column.name,)


def _table_columns(
    row_ND: NDArray[np.float64], schema: TableSchema, blank_as: float
) -> NDArray[np.float64]:
    gone_ND = np.isnan(row_ND)
    missing_N = gone_ND.mean(axis=1)
    instead_D = [MISSING_CATEGORY if c.kind == "category" else blank_as for c in schema.columns]
    filled_ND = np.where(gone_ND, instead_D, row_ND)
    if not any(column.time for column in schema.columns):
        return np.column_stack([filled_ND, missing_N])
    found: list[NDArray[np.float64]] = []
    for d, column in enumerate(schema.columns):
        if not column.time:
            found.append(filled_ND[:, d])
            continue
        parts = time_parts(np.where(gone_ND[:, d], 0.0, row_ND[:, d]))
        found += [np.where(gone_ND[:, d], MISSING_CATEGORY, part) for part in parts]
    return np.column_stack([*found, missing_N])


def _text_columns(byte_NL: NDArray[np.uint8]) -> NDArray[np.float64]:
    length = (byte_NL > 0).sum(axis=1)
    whole = np.maximum(length, 1)
    blanks = (byte_NL == 0) | (byte_NL == 32) | ((byte_NL >= 9) & (byte_NL <= 13))
    starts = ~blanks & np.column_stack([np.ones(len(byte_NL), dtype=bool), blanks[:, :-1]])
    digits = (byte_NL >= ord("0")) & (byte_NL <= ord("9"))
    capitals = (byte_NL >= ord("A")) & (byte_NL <= ord("Z"))
    letters = capitals | ((byte_NL >= ord("a")) & (byte_NL <= ord("z")))
    foreign = byte_NL > 127
    marks = ~blanks & ~digits & ~letters & ~foreign
    words = starts.sum(axis=1)
    return np.column_stack([
        length, words, (~blanks).sum(axis=1) / np.maximum(words, 1), digits.sum(axis=1) / whole,
        capitals.sum(axis=1) / np.maximum(letters.sum(axis=1), 1), marks.sum(axis=1) / whole,
        foreign.sum(axis=1) / whole, distinct(byte_NL),
    ]).astype(np.float64)  # fmt: skip
