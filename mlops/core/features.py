"""The features of examples in three forms: as written, as canonical bytes, as a model sees them.

- values: what a source, a caller and a shard hold. Images: uint8 (N, H, W, C). Tables: one array
  per column, float64 with NaN for missing, or objects: text, None for missing. Texts: a sequence.
- canonical bytes, one per example: what `example_id` hashes and what the prediction log keeps.
  Images: the pixels. Texts: UTF-8 in Unicode's composed form (NFC), whole. Tables: a JSON array of
  the values in the order of the columns, so that codes and lengths may change and ids do not.
- arrays: (N, *schema.shape) in schema.dtype, what every model takes.
"""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.example import example_id
from mlops.core.schema import UNKNOWN_CATEGORY, Column, ImageSchema, Schema, TableSchema, TextSchema
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Values = Any
    """As the module's docstring says, by kind."""


def canonical(values: Values, schema: Schema) -> list[bytes]:
    """Return the canonical bytes of each example.

    Raises:
        DataError: if a text cannot be encoded.
    """
    if isinstance(schema, ImageSchema):
        return [image.tobytes() for image in values]
    try:
        if isinstance(schema, TextSchema):
            return [unicodedata.normalize("NFC", text).encode() for text in values]
        columns = [_written(v, c) for v, c in zip(values, schema.columns, strict=True)]
        return [f"[{','.join(row)}]".encode() for row in zip(*columns, strict=True)]
    except UnicodeEncodeError as error:
        where = error.object[max(0, error.start - 10) : error.start]
        msg = f"a text holds half a character after {where!r}; save it as UTF-8 again"
        raise DataError(msg) from None


def arrays(values: Values, schema: Schema) -> NDArray[Any]:
    """Return values as models take them: (N, *schema.shape) in schema.dtype."""
    if isinstance(schema, ImageSchema):
        found: NDArray[Any] = np.asarray(values, dtype=np.uint8)
        return found
    if isinstance(schema, TextSchema):
        return _padded(canonical(values, schema), schema.max_bytes)
    if not schema.columns or not len(values[0]):
        return np.zeros((0, *schema.shape))
    columns = [_numbers(v, c) for v, c in zip(values, schema.columns, strict=True)]
    return np.column_stack(columns)


def read(contents: Sequence[bytes], schema: Schema) -> Values:
    """Return the values that canonical bytes stand for.

    Raises:
        DataError: if one of them is of another schema, naming its place.
    """
    wrong = next((n for n, content in enumerate(contents) if not fits(content, schema)), None)
    if wrong is not None:
        what = f"{len(contents[wrong])} bytes that are no {schema.kind} of this schema"
        raise DataError(f"example number {wrong} holds {what} {schema.shape}")
    if isinstance(schema, ImageSchema):
        joined = np.frombuffer(b"".join(contents), dtype=np.uint8)
        return joined.reshape(len(contents), *schema.shape)
    if isinstance(schema, TextSchema):
        return [content.decode() for content in contents]
    rows = [json.loads(content) for content in contents]
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema.columns)
    return tuple(_column(v, c) for v, c in zip(columns, schema.columns, strict=True))


def fits(content: bytes, schema: Schema) -> bool:
    """Say whether canonical bytes are an example of a schema."""
    if isinstance(schema, ImageSchema):
        return len(content) == schema.size_bytes
    try:
        text = content.decode()
        row = None if isinstance(schema, TextSchema) else json.loads(text)
    except (ValueError, RecursionError):
        return False
    if isinstance(schema, TextSchema):
        return True
    return (
        isinstance(row, list)
        and len(row) == len(schema.columns)
        and all(_is_value(v, c) for v, c in zip(row, schema.columns, strict=True))
    )


def decode(contents: Sequence[bytes], schema: Schema) -> NDArray[Any]:
    """Return canonical bytes as models take them: (N, *schema.shape) in schema.dtype.

    Raises:
        DataError: as `read`.
    """
    return arrays(read(contents, schema), schema)


def identities(contents: Sequence[bytes], schema: Schema) -> list[str]:
    """Return `example_id` of each example from its canonical bytes."""
    shape = identity_shape(schema)
    return [example_id(content, shape) for content in contents]


def identity_shape(schema: Schema) -> tuple[int | str, ...]:
    """Return the shape that `example_id` is given."""
    return schema.shape if isinstance(schema, ImageSchema) else (schema.kind,)


def values_of(array: NDArray[Any], schema: Schema) -> Values:
    """Return values that give an array of models' input; an unknown category has a made-up name.

    A text that was cut stays cut: what is gone cannot be told.
    """
    if isinstance(schema, ImageSchema):
        return array
    if isinstance(schema, TextSchema):
        return [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in array]
    return tuple(
        array[:, place] if column.kind == "number" else _names(array[:, place], column)
        for place, column in enumerate(schema.columns)
    )


def regarded(values: Values, schema: Schema, other: Schema) -> Values | None:
    """Return the values that another schema's model takes of examples; None if it lacks any.

    Columns are found by their names, in whatever order the other one has them. Classes may not
    differ, or the two models' answers could not be compared.
    """
    if schema.kind != other.kind or schema.classes != other.classes:
        return None
    if isinstance(schema, TableSchema) and isinstance(other, TableSchema):
        places = {(column.name, column.kind): n for n, column in enumerate(schema.columns)}
        found = [places.get((column.name, column.kind)) for column in other.columns]
        return None if None in found else tuple(values[n] for n in found if n is not None)
    alike = isinstance(schema, TextSchema) or schema.shape == other.shape
    return values if alike else None


def together(parts: Sequence[Values], schema: Schema) -> Values:
    """Return the values of several lots of examples as those of one, in order."""
    if isinstance(schema, TableSchema):
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
    if isinstance(schema, TextSchema):
        return [*chain.from_iterable(parts)]
    return np.concatenate(parts)


def take(values: Values, rows: Sequence[int] | NDArray[Any], schema: Schema) -> Values:
    """Return the values of some rows."""
    if isinstance(schema, TableSchema):
        return tuple(column[np.asarray(rows, dtype=np.int64)] for column in values)
    if isinstance(schema, TextSchema):
        return [values[row] for row in rows]
    return values[np.asarray(rows, dtype=np.int64)]


def count(values: Values, schema: Schema) -> int:
    """Return the number of examples."""
    return len(values[0] if isinstance(schema, TableSchema) else values)


def _written(values: NDArray[Any], column: Column) -> list[str]:
    """Return each value as JSON; minus zero is zero, or equal rows would have two ids."""
    if column.kind == "number":
        numbers = (np.asarray(values, dtype=np.float64) + 0.0).tolist()
        return ["null" if math.isnan(v) else repr(v) for v in numbers]
    known = {v: "null" if v is None else json.dumps(v, ensure_ascii=False) for v in set(values)}
    return [known[v] for v in values]


def _numbers(values: NDArray[Any], column: Column) -> NDArray[np.float64]:
    if column.kind == "number":
        return np.asarray(values, dtype=np.float64)
    codes: dict[str | None, float] = {v: float(n) for n, v in enumerate(column.categories)}
    codes[None] = np.nan
    return np.array([codes.get(v, UNKNOWN_CATEGORY) for v in values], dtype=np.float64)


def _names(codes: NDArray[np.float64], column: Column) -> NDArray[Any]:
    stranger = "unknown"
    while stranger in column.categories:
        stranger += "?"
    known = {float(n): v for n, v in enumerate(column.categories)}
    names = [None if math.isnan(c) else known.get(c, stranger) for c in codes.tolist()]
    return np.array(names, dtype=object)


def _column(values: Sequence[Any], column: Column) -> NDArray[Any]:
    if column.kind == "number":
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return np.array(values, dtype=object)


def _is_value(value: object, column: Column) -> bool:
    if value is None:
        return True
    if column.kind == "category":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # false for NaN and infinity too


def _padded(contents: Sequence[bytes], width: int) -> NDArray[np.uint8]:
    joined = b"".join(_cut(content, width).ljust(width, b"\0") for content in contents)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(contents), width)


def _cut(content: bytes, width: int) -> bytes:
    """Cut before a character that would not fit whole."""
    if len(content) <= width:
        return content
    return content[:width].decode(errors="ignore").encode()
