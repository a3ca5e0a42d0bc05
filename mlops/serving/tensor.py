"""Nested lists → uint8 images: strict about types, shapes, ranges; fast where they are regular."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.serving.reply import Refused, invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema

_MAX_AXES = 4


def array(
    value: Any, schema: ImageSchema, max_rows: int, *, plain: bool, field: str
) -> NDArray[np.uint8]:
    """Return nested lists as uint8 images of shape (N, H, W, C).

    Accepted are (N, H, W, C), (N, H, W) for one channel, and rows of H·W·C numbers.

    Raises:
        Refused: 413 for too many rows, 422 for anything that is not such an array of 0…255.
    """
    if not isinstance(value, list) or not value:
        raise invalid("must be a list of at least one image", field=field)
    if len(value) > max_rows:
        raise Refused(
            413, "too_many_rows", f"{len(value)} rows, at most {max_rows}", field=field,
            remedy="split the request",
        )  # fmt: skip
    height, width, channels = schema.shape
    shapes = [schema.shape, (schema.size_bytes,)] + ([(height, width)] if channels == 1 else [])
    if not plain:
        _refuse_words(value, field)
    elif (fast := _fast(value)) is not None and fast.shape[1:] in shapes:
        return fast.reshape(-1, *schema.shape)
    try:
        numbers = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise invalid("must be numbers in lists of equal lengths", field=field) from None
    if numbers.shape[1:] not in shapes:
        wanted = " or ".join(str(shape) for shape in shapes)
        shown = numbers.shape[1:][:6]
        raise invalid(f"each image has shape {shown}, expected {wanted}", field=field)
    with np.errstate(invalid="ignore"):
        pixels = numbers.astype(np.uint8)
    if not np.array_equal(pixels, numbers):  # also finds NaN, from null
        raise invalid("pixels must be whole numbers from 0 to 255", field=field)
    return pixels.reshape(-1, *schema.shape)


def _fast(value: list[Any]) -> NDArray[np.uint8] | None:
    """Return regular nested lists of integers in 0…255 as an array; None: look more closely.

    `bytes()` of a flat list checks type and range in C; NumPy walks nested lists far slower.
    """
    shape, level = [len(value)], value
    try:
        while isinstance(level[0], list):
            width = len(level[0])
            if len(shape) == _MAX_AXES or not width or {*map(len, level)} != {width}:
                return None
            level = list(chain.from_iterable(level))
            shape.append(width)
        return np.frombuffer(bytes(level), dtype=np.uint8).reshape(shape)
    except (TypeError, ValueError):
        return None


def _refuse_words(value: Any, field: str) -> None:
    """Refuse text and truth values, which NumPy would turn into numbers."""
    waiting = [value]
    while waiting:
        for item in waiting.pop():
            if isinstance(item, list):
                waiting.append(item)
            elif isinstance(item, str | bool):
                raise invalid("must be numbers, not text or truth values", field=field)
