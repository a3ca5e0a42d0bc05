"""Rows as they lie in memory: raw uint8 images, and NumPy's `.npy` without pickles."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.features import values_of
from mlops.core.schema import LARGEST, ImageSchema, TableSchema
from mlops.serving.frame import too_many
from mlops.serving.reply import invalid, malformed
from mlops.serving.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import Schema
    from mlops.serving.config import Limits

NPY = b"\x93NUMPY"
_HEADER_BYTES = 1024


def raw(body: bytes, schema: Schema, limits: Limits) -> Rows:
    """Read images as they lie in memory: rows, columns, channels, uint8, one after the other.

    Raises:
        Refused: 413 for too many rows, 422 for a length that is no whole number of images.
    """
    if body.startswith(NPY):
        return npy(body, schema, limits)
    if not isinstance(schema, ImageSchema):
        raise invalid("raw bytes are read for images only", remedy="send JSON or .npy")
    count, rest = divmod(len(body), schema.size_bytes)
    if rest:
        raise invalid(f"{len(body)} bytes are no multiple of {schema.size_bytes} {schema.shape}")
    too_many(count, limits.rows)
    pixels: NDArray[np.uint8] = np.ndarray((count, *schema.shape), np.uint8, body)
    return Rows(pixels, pixels, None, count == 1)


def npy(body: bytes, schema: Schema, limits: Limits) -> Rows:
    """Read one array in NumPy's format: (N, …) or one example alone.

    Images are uint8. Tables are numbers in the order of the columns: NaN for missing, a category's
    code from 0 in the schema's order, −1 for an unknown one.

    Raises:
        Refused: 400 for damage, 413 for too many rows, 422 for another dtype or shape.
    """
    array = _load(body)
    wanted: list[tuple[int, ...]] = [schema.shape]
    if isinstance(schema, ImageSchema):
        kinds = "u"
        if schema.channels == 1:
            wanted.append((schema.height, schema.width))
    elif isinstance(schema, TableSchema):
        kinds = "fiu"
    else:
        raise invalid("arrays of texts are not read", remedy="send JSON or text/plain")
    single = array.shape in wanted
    if not single and array.shape[1:] not in wanted:
        raise invalid(f"shape is {array.shape[:6]}, expected (N, {str(schema.shape)[1:]}")
    if array.dtype.kind not in kinds or (kinds == "u" and array.dtype.itemsize != 1):
        raise invalid(f"dtype is {array.dtype}, expected {schema.dtype}")
    rows = array.reshape(-1, *schema.shape).astype(schema.dtype, copy=False)
    too_many(len(rows), limits.rows)
    if not len(rows):
        raise invalid("must hold at least one row")
    return Rows(coded(rows, schema), rows, None, single)


def coded(array: NDArray[Any], schema: Schema) -> Any:
    """Return the values that an array of models' input stands for.

    Raises:
        Refused: 422 for numbers that are too large, or codes that are none.
    """
    if isinstance(schema, TableSchema):
        if (np.abs(array) > LARGEST).any():
            raise invalid("must be numbers within ±3.4e38, or NaN for missing")
        for place, column in enumerate(schema.columns):
            codes = array[:, place]
            codes = codes[~np.isnan(codes)]
            known = (codes >= -1) & (codes < len(column.categories)) & (codes == np.floor(codes))
            if column.kind == "category" and not known.all():
                raise invalid(
                    "must be codes of categories", field=column.name,
                    remedy=f"send whole numbers from -1 (unknown) to {len(column.categories) - 1}",
                )  # fmt: skip
    return values_of(array, schema)


def _load(body: bytes) -> NDArray[Any]:
    """Return the array of a `.npy` body without copying; nothing in it is ever executed."""
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0,
                  (2, 0): np.lib.format.read_array_header_2_0}[version]  # fmt: skip
        shape, fortran, dtype = reader(stream, max_header_size=_HEADER_BYTES)
    except Exception:  # noqa: BLE001 - a header is Python's syntax: its parser raises many kinds
        raise malformed("not a .npy file", remedy="write it with numpy.save") from None
    if dtype.hasobject or dtype.kind not in "fiu":
        raise invalid("dtype must be a plain number", remedy="pickled objects are never read")
    if any(type(size) is not int or size < 0 for size in shape):  # True is an int, too
        raise malformed("the sizes in the .npy header are no counts", remedy="use numpy.save")
    count, start = math.prod(shape), stream.tell()
    if count * dtype.itemsize != len(body) - start or not count:
        raise malformed("the .npy file is truncated, too long, or empty")
    flat = np.frombuffer(body, dtype=dtype, offset=start)
    return flat.reshape(shape, order="F" if fortran else "C")
