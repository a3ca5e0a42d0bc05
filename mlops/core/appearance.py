"""What the rows of a snapshot look like, for its data checks: figures and flags by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.features import arrays, canonical
from mlops.core.schema import ImageSchema, TableSchema, TextSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import Schema

    Mask = NDArray[np.bool_]

_BATCH = 4096
COLUMN = "column "
"""What the name of a table's column begins with among the checked columns."""


def appearance(values: Any, schema: Schema, origin: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return one entry per row by name; None where a figure does not apply to the row.

    - images: `size_bytes`; `mean`, `std`, `high` (brightest) of the pixels and `constant` (one flat
      colour), None for images of a wrong size.
    - tables: `empty` (no value at all), `novel` (of production rows: a number outside the range
      of the base rows, or a category that these have not), and `column NAME` for every column.
    - texts: `size_bytes` in UTF-8, `empty` (nothing but blanks), `cut` (longer than the model
      reads), `garbled` (holds the character that stands for broken encoding).

    Args:
        values: as in `mlops.core.features`; of images canonical bytes, of any length.
        schema: what they should be.
        origin: of each row: `base` or `production`.
    """
    if isinstance(schema, ImageSchema):
        return _images(values, schema)
    if isinstance(schema, TextSchema):
        return _texts(values, schema)
    return _table(values, schema, np.array([one == "base" for one in origin], dtype=bool))


def _table(values: Any, schema: TableSchema, base_N: Mask) -> dict[str, Sequence[Any]]:
    array = arrays(values, schema)
    novel_N = np.zeros(len(base_N), dtype=bool)
    for value_N, column in zip(array.T, schema.columns, strict=True):
        known = value_N[base_N & ~np.isnan(value_N)]
        if column.kind == "category":
            novel_N |= ~np.isin(value_N, known) & ~np.isnan(value_N)
        elif len(known):
            with np.errstate(invalid="ignore"):
                novel_N |= (value_N < known.min()) | (value_N > known.max())
    novel = [None if own else bool(new) for own, new in zip(base_N, novel_N, strict=True)]
    shown = {f"{COLUMN}{c.name}": v for v, c in zip(values, schema.columns, strict=True)}
    return {"empty": np.isnan(array).all(axis=1).tolist(), "novel": novel, **shown}


def _texts(values: Sequence[str], schema: TextSchema) -> dict[str, Sequence[Any]]:
    sizes = [len(content) for content in canonical(values, schema)]
    return {
        "size_bytes": sizes,
        "empty": [not text.strip() for text in values],
        "cut": [size > schema.max_bytes for size in sizes],
        "garbled": ["\ufffd" in text for text in values],
    }


def _images(images: Sequence[bytes], schema: ImageSchema) -> dict[str, Sequence[Any]]:
    mean: list[float | None] = [None] * len(images)
    std: list[float | None] = [None] * len(images)
    high: list[int | None] = [None] * len(images)
    constant: list[bool | None] = [None] * len(images)
    sound = [row for row, image in enumerate(images) if len(image) == schema.size_bytes]
    for start in range(0, len(sound), _BATCH):
        rows = sound[start : start + _BATCH]
        joined = np.frombuffer(b"".join(images[row] for row in rows), np.uint8)
        # Flat means flat in every channel: a red square is constant too.
        x_NPC = joined.reshape(len(rows), -1, schema.channels)
        flat = (x_NPC == x_NPC[:, :1]).all(axis=(1, 2))
        x_NP = joined.reshape(len(rows), -1)
        figures = (x_NP.mean(axis=1), x_NP.std(axis=1), x_NP.max(axis=1), flat)
        for row, a, b, c, d in zip(rows, *(f.tolist() for f in figures), strict=True):
            mean[row], std[row], high[row], constant[row] = a, b, c, d
    size_bytes = [len(image) for image in images]
    return {
        "size_bytes": size_bytes, "mean": mean, "std": std, "high": high, "constant": constant,
    }  # fmt: skip
