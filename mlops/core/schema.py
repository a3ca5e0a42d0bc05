"""What the examples of a project are: images, rows of a table, or texts.

A model sees every example as one array of fixed shape and dtype, whatever it is made of: so
splits, training, serving and the gate handle `features` and need not know their kind.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np

from mlops.core.canonical import from_plain
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN_CATEGORY = -1.0
"""Code of a category that the schema does not list."""

QUANTILES = (0.05, 0.5, 0.95)
"""What a regression model answers with; the middle one is its prediction."""


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

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image: (height, width, channels)."""
        return (self.height, self.width, self.channels)

    @property
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
    """

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()


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


def parse_image_schema(content: object, where: str) -> ImageSchema:
    """Read the schema of a project of images.

    Raises:
        DataError: as `parse_schema`, or if the examples are none.
    """
    schema = parse_schema(content, where)
    if not isinstance(schema, ImageSchema):
        raise DataError(f"{where}: examples of the kind {schema.kind} are not handled here")
    return schema
