"""Regular JSON of images, read from its bytes without building a list per pixel.

Nested lists of small whole numbers are what clients of images send, and making them costs more
than the model's answer. Here the brackets and commas are compared with those of a regular array,
which are known beforehand, and only the numbers are parsed. Whatever is the least bit different is
left to the careful reader (`mlops.serving.tensor`), which accepts the same and says what is wrong.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import orjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema

_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"([a-z]+)"[ \t\r\n]*:')
_SPACE = b" \t\r\n"
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)


def images(
    body: bytes, schema: ImageSchema, max_rows: int, keys: tuple[str, ...]
) -> NDArray[np.uint8] | None:
    """Return the images of a body that is one key and one regular array; None: read it with care.

    Args:
        body: JSON, whole.
        schema: of the images.
        max_rows: most images.
        keys: the names that the key may have.

    Returns:
        uint8 (N, H, W, C) from (N, H, W, C), (N, H, W) for one channel, or rows of H·W·C numbers.
    """
    head = _HEAD.match(body)
    if head is None or head[1].decode() not in keys:
        return None
    tail = body.rstrip(_SPACE)
    if not tail.endswith(b"}"):
        return None
    array = tail[head.end() : -1]
    # Every digit a zero, so that a number outside of an innermost list is found as one of two.
    shape = array.translate(_DIGITS, _SPACE)
    # From the end: over such text CPython searches backwards four times as fast.
    if shape.rfind(b"0[") >= 0 or shape.rfind(b"]0") >= 0:
        return None
    count = _rows(shape.translate(None, b"0"), schema)
    if not 0 < count <= max_rows:
        return None
    try:
        # What stands between two commas must be one number: `1 2`, `01` and nothing are no JSON.
        pixels = bytes(orjson.loads(b"[" + array.translate(None, b"[]") + b"]"))
    except (ValueError, TypeError):
        return None
    return np.frombuffer(pixels, dtype=np.uint8).reshape(count, *schema.shape)


def _rows(brackets: bytes, schema: ImageSchema) -> int:
    """Return how many images have these brackets and commas; 0 if no number of them does."""
    for row in _forms(schema.shape):
        count, rest = divmod(len(brackets) - 1, len(row) + 1)
        if not rest and brackets == _several(row, count):
            return count
    return 0


@lru_cache(maxsize=8)
def _forms(shape: tuple[int, int, int]) -> tuple[bytes, ...]:
    """Return the brackets and commas of one image, in each way in which it may be written."""
    height, width, channels = shape
    return tuple(
        _nested(lengths)
        for lengths in (shape, (height * width * channels,), *([(height, width)] * (channels == 1)))
    )


def _nested(lengths: tuple[int, ...]) -> bytes:
    inner = _nested(lengths[1:]) if len(lengths) > 1 else b""
    return _several(inner, lengths[0])


def _several(one: bytes, count: int) -> bytes:
    return b"[" + b",".join([one] * count) + b"]"
