"""What the examples of a project are: images, rows of a table, or texts.

A model sees every example as one array of fixed shape and dtype, whatever it is made of: so
splits, training, serving and the gate handle `features` and need not know their kind.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np

from mlops.core.canonical import ADDED, from_plain
from mlops.core.embedding import is_embedding
from mlops.core.times import TIME_PARTS
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN_CATEGORY = -1.0
"""Code of a category that the schema does not list."""

MISSING_CATEGORY = -2.0
"""Code of no category at all, where a code must be finite: models are given NaN."""

LARGEST = 3.4028234663852886e38
"""Largest number that a table may hold, either way: models reckon in single precision."""

MAX_CATEGORIES = 1000
"""A column with more names is a text or an identity, and no category."""

QUANTILES = (0.05, 0.5, 0.95)
"""What a regression model answers with; the middle one is its prediction."""

RESERVED = frozenset({
    "example_id", "entity", "group", "observed_at", "label", "label_source", "origin",
    "all", "class", "found", "predicted", "confidence", "entropy", "prediction", "spread",
    "missing",
})  # fmt: skip
"""Names that no column of a table may have: they mean something else in shards and reports."""

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class ImageSchema:
    """What every image of a snapshot looks like: uint8, rows × columns × channels.

    Attributes:
        classes: names of the labels; a label is an index into them.
        height: pixels.
        width: pixels.
        channels: 1 (grey) or 3 (red, green, blue).
    """

    kind: ClassVar = "image"
    dtype: ClassVar = np.dtype(np.uint8)

    classes: tuple[str, ...]
    height: int
    width: int
    channels: int

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image: (height, width, channels)."""
        return (self.height, self.width, self.channels)

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of one image."""
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as the source and the callers write it.
        kind: `number`, or `category` for text from a closed list.
        categories: the known values of a category, in the order of their codes 0, 1, …; never
            re-ordered: a new one is appended.
        time: of a number, whether it is a time in seconds since 1970: it is watched by its parts,
            for a time itself always moves on.
    """

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()
    time: bool = field(default=False, metadata=ADDED)


@dataclass(frozen=True)
class TableSchema:
    """What every row of a table looks like: float64, one value per column.

    A missing value is NaN; a category is its code, `UNKNOWN_CATEGORY` where it is not listed.

    Attributes:
        classes: names of the labels; none for regression, where a label is a number.
        columns: the features, in their order.
    """

    kind: ClassVar = "table"
    dtype: ClassVar = np.dtype(np.float64)

    classes: tuple[str, ...]
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        """Refuse names that would be confused with others.

        Raises:
            DataError: naming the column.
        """
        names = [column.name for column in self.columns]
        for column in self.columns:
            if column.name in RESERVED or is_embedding(column.name) or not column.name.strip():
                raise DataError(f"a column cannot be called {column.name!r}; rename or drop it")
            if names.count(column.name) > 1:
                raise DataError(f"the column {column.name!r} stands twice; rename or drop one")
            if len(set(column.categories)) < len(column.categories):
                raise DataError(f"the column {column.name!r} lists a category twice")

    @property
    def shape(self) -> tuple[int]:
        """Shape of one row: (columns,)."""
        return (len(self.columns),)

    @property
    def size_bytes(self) -> int:
        """Bytes of one row as the model sees it."""
        return 8 * len(self.columns)


@dataclass(frozen=True)
class TextSchema:
    """What every text looks like: its UTF-8 bytes, cut or padded with zeros to one length.

    Attributes:
        classes: names of the labels; none for regression, where a label is a number.
        max_bytes: bytes that the model reads.
    """

    kind: ClassVar = "text"
    dtype: ClassVar = np.dtype(np.uint8)

    classes: tuple[str, ...]
    max_bytes: int

    @property
    def shape(self) -> tuple[int]:
        """Shape of one text: (bytes,)."""
        return (self.max_bytes,)

    @property
    def size_bytes(self) -> int:
        """Bytes of one text as the model sees it."""
        return self.max_bytes


Schema: TypeAlias = ImageSchema | TableSchema | TextSchema

_KINDS: Mapping[str, type[ImageSchema | TableSchema | TextSchema]] = {
    schema.kind: schema for schema in (ImageSchema, TableSchema, TextSchema)
}


def to_plain(schema: Schema) -> dict[str, Any]:
    """Return a schema as it stands in `schema.json`, `split.json` and `model.json`."""
    return {"kind": schema.kind, **asdict(schema)}


def parse_schema(content: object, where: str) -> Schema:
    """Read a schema back.

    Args:
        content: what `to_plain` gave, read from JSON.
        where: the file, for the error.

    Raises:
        DataError: naming the file and what is wrong in it.
    """
    plain = dict(content) if isinstance(content, dict) else {}
    kind = _KINDS.get(str(plain.pop("kind", "image")))
    if kind is None or not plain:
        known = ", ".join(_KINDS)
        raise DataError(f"{where}: holds no schema of a known kind ({known})")
    try:
        schema: Schema = from_plain(kind, plain)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    if min(schema.shape) < 1:
        raise DataError(f"{where}: the sizes {schema.shape} must be above 0")
    return schema


def task(schema: Schema) -> Task:
    """Return what a model is to do: find a class, or a number."""
    return "classification" if schema.classes else "regression"


def outputs(schema: Schema) -> int:
    """Return how many numbers a model answers with: one per class, or the quantiles."""
    return len(schema.classes) or len(QUANTILES)


def table_columns(schema: Schema) -> tuple[Column, ...]:
    """Return the columns of a table; none of other kinds."""
    return schema.columns if isinstance(schema, TableSchema) else ()


def categories(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Return the names behind the codes of each watched column of a table that holds codes."""
    found: dict[str, tuple[str, ...]] = {}
    for column in table_columns(schema):
        if column.kind == "category":
            found[column.name] = column.categories
        elif column.time:
            found |= {f"{column.name} {part}": names for part, names in TIME_PARTS.items()}
    return found


def category_name(code: float, names: tuple[str, ...]) -> str:
    """Return the name behind a code, for people."""
    if code == MISSING_CATEGORY:
        return "missing"
    return names[int(code)] if 0 <= code < len(names) else "unknown"


def compatible(one: Schema, other: Schema) -> bool:
    """Say whether models of both can be scored on the same arrays.

    Tables may differ in categories that came later: codes only grow, and a model takes a code
    that it does not know for an unknown category.
    """
    if not isinstance(one, TableSchema) or not isinstance(other, TableSchema):
        return one == other
    shapes = [[(c.name, c.kind) for c in schema.columns] for schema in (one, other)]
    pairs = zip(one.columns, other.columns, strict=False)
    known = all(b.categories[: len(a.categories)] == a.categories[: len(b.categories)]
                for a, b in pairs)  # fmt: skip
    return one.classes == other.classes and shapes[0] == shapes[1] and known
