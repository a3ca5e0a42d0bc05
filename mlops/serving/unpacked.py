"""What Arrow's arrays come to as Python's objects, told before any is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

VALUE_BYTES = 8
"""What a value counts for, beside a text's own bytes: its place in a list."""
_TEXT_BYTES = 1 << 20


def check_types(kinds: Iterable[pa.DataType]) -> None:
    """Refuse types that nobody here looks into, and those with which a few bytes are many values.

    Such are null in a list or a dictionary, lists of length 0 in a list, lists in a dictionary, and
    dictionaries in a list.

    Raises:
        TypeError: naming the type.
    """
    import pyarrow as pa

    for kind in kinds:
        inner = kind
        if pa.types.is_dictionary(kind):
            inner = kind.value_type
        else:
            while _is_list(inner):
                inner = inner.value_type
        alone = inner is kind and pa.types.is_null(kind)
        if not (alone or is_text(inner) or pa.types.is_primitive(inner)):
            msg = f"columns of {kind}"
            raise TypeError(msg)


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or (pa.types.is_fixed_size_list(kind) and kind.list_size))


def is_text(kind: pa.DataType) -> bool:
    """Say whether a type is that of texts, which Parquet keeps as dictionaries."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def unpacked_bytes(array: pa.Array) -> int:
    """Return what an array comes to: eight bytes for every value, and a text's own for each of it.

    Raises:
        Refused: 413 for a text that is too long.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    size = len(array) * VALUE_BYTES
    if _is_list(array.type):
        return size + unpacked_bytes(array.flatten())
    if pa.types.is_dictionary(array.type):
        size += unpacked_bytes(array.dictionary)
        if not is_text(array.type.value_type):
            return size
        lengths = pc.take(pc.binary_length(array.dictionary), array.indices)
    elif is_text(array.type):
        lengths = pc.binary_length(array)
    else:
        return size
    if (pc.max(lengths).as_py() or 0) > _TEXT_BYTES:
        raise Refused(413, "too_large", f"a text exceeds {_TEXT_BYTES} bytes")
    return size + (pc.sum(lengths).as_py() or 0)
