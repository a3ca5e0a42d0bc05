"""Tensors of the Open Inference Protocol, in JSON and in its binary extension ↔ rows and answers.

The protocol is KServe's "Open Inference Protocol" (V2); the extension is Triton's "Binary Tensor
Data Extension": tensors follow the JSON head, little-endian and row by row, and a BYTES element is
its length in four bytes and its bytes. A truth value is true or false in JSON and one byte behind
it; from here on it is the number 1 or 0.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.serving.reply import invalid, malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DTYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""Datatypes of numbers that are read; BYTES holds texts. BF16 no model here takes."""
_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
_MAX_AXES = 8
_KEYS = {"name", "shape", "datatype", "parameters", "data"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input of a request, checked against its own shape and datatype.

    Attributes:
        name: as the caller wrote it.
        shape: its sizes.
        datatype: of `DTYPES`, or BYTES.
        data: numbers as a flat array, or as a flat list where one of them is null; texts as a
            flat list.
    """

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: NDArray[Any] | list[Any]


def read_inputs(inputs: Any, tail: memoryview, max_values: int) -> list[Tensor]:
    """Read the inputs of a request.

    Args:
        inputs: `inputs` of its head.
        tail: what follows the head.
        max_values: of one tensor.

    Raises:
        Refused: 400 if head and tail do not agree, 422 for anything else that is wrong.
    """
    if not isinstance(inputs, list) or not inputs:
        raise invalid("must be a list of at least one tensor", field="inputs")
    tensors = []
    at = 0
    for given in inputs:
        name, shape, datatype, count, size = _head(given, max_values)
        if size is None:
            data = _listed(given["data"], datatype, count)
        else:
            part = tail[at : at + size]
            if len(part) != size:
                raise malformed("the body is shorter than the tensors that it announces")
            data = _packed(part, datatype, count)
            at += size
        tensors.append(Tensor(name, shape, datatype, data))
    if at != len(tail):
        raise malformed("bytes follow the last tensor", remedy="check the sizes in the head")
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise invalid("two tensors have one name", field="inputs")
    return tensors


def _head(given: Any, max_values: int) -> tuple[str, tuple[int, ...], str, int, int | None]:
    """Check one input's head; the last value is its size in the tail, None for data in JSON."""
    if not isinstance(given, dict) or set(given) - _KEYS:
        raise invalid("a tensor has name, shape, datatype, and data or its size", field="inputs")
    name, shape, datatype = given.get("name"), given.get("shape"), given.get("datatype")
    if not isinstance(name, str) or not name:
        raise invalid("every tensor needs a name", field="inputs.name")
    sizes = shape if isinstance(shape, list) else None
    if not sizes or len(sizes) > _MAX_AXES or any(type(n) is not int or n < 1 for n in sizes):
        raise invalid("must be a list of whole numbers above 0", field="inputs.shape")
    if not isinstance(datatype, str) or (datatype not in DTYPES and datatype != "BYTES"):
        known = ", ".join([*DTYPES, "BYTES"])
        raise invalid(f"must be one of {known}", field="inputs.datatype")
    count = math.prod(sizes)
    if count > max_values:
        raise invalid(f"more than {max_values} values", field="inputs.shape")
    parameters = given.get("parameters", {})
    if not isinstance(parameters, dict):
        raise invalid("must be an object", field="inputs.parameters")
    size = parameters.get("binary_data_size")
    if ("data" in given) == (size is not None):
        raise invalid("needs either data, or binary_data_size", field="inputs.data")
    if size is not None and (type(size) is not int or size < 0):
        raise invalid("must be a number of bytes", field="inputs.parameters.binary_data_size")
    return name, tuple(sizes), datatype, count, size


def _listed(data: Any, datatype: str, count: int) -> NDArray[Any] | list[Any]:
    """Read data in JSON: flat, or nested in any regular way."""
    values = _flat(data)
    if values is None or len(values) != count:
        raise invalid("must hold as many values as the shape says", field="inputs.data")
    kinds = {*map(type, values)}
    if datatype == "BYTES":
        if not kinds <= {str, type(None)}:
            raise invalid("must be texts", field="inputs.data")
        return values
    if datatype == "BOOL":
        return _truths(values, kinds)
    floating = datatype.startswith("FP")
    if float in kinds and not floating:  # JSON has one kind of number: 229.0 is 229
        values = [int(v) if type(v) is float and v.is_integer() else v for v in values]
        kinds = {*map(type, values)}
    if not kinds <= ({int, float, type(None)} if floating else {int}):
        raise invalid(f"must be numbers of {datatype}", field="inputs.data")
    if type(None) in kinds:
        return values
    try:
        if datatype == "UINT8":  # checks the range in C, unlike NumPy
            return np.frombuffer(bytes(values), dtype=np.uint8)
        return np.array(values, dtype=np.float64 if floating else DTYPES[datatype])
    except (OverflowError, ValueError):
        raise invalid(f"must be numbers of {datatype}", field="inputs.data") from None


def _truths(values: list[Any], kinds: set[type]) -> NDArray[Any] | list[Any]:
    """Return true and false as 1 and 0, and null as it is."""
    if not kinds <= {bool, type(None)}:
        raise invalid("must be true or false", field="inputs.data")
    found = [None if value is None else int(value) for value in values]
    return found if type(None) in kinds else np.array(found, dtype=np.uint8)


def _flat(data: Any) -> list[Any] | None:
    for _ in range(_MAX_AXES):
        if not isinstance(data, list) or not data or not isinstance(data[0], list):
            break
        if not all(isinstance(part, list) for part in data):
            return None
        data = list(chain.from_iterable(data))
    return data if isinstance(data, list) else None


def _packed(part: memoryview, datatype: str, count: int) -> NDArray[Any] | list[Any]:
    if datatype != "BYTES":
        dtype = np.dtype(DTYPES[datatype])
        if len(part) != count * dtype.itemsize:
            raise invalid("must be as many bytes as shape and datatype say", field="inputs.shape")
        if datatype == "BOOL":
            truths = np.frombuffer(part, dtype=np.uint8)
            if truths.max() > 1:
                raise invalid("must be bytes of 0 or 1", field="inputs.data")
            return truths
        return np.frombuffer(part, dtype=dtype)
    texts: list[str] = []
    at = 0
    while at + 4 <= len(part) and len(texts) < count:
        size = struct.unpack_from("<I", part, at)[0]
        element = part[at + 4 : at + 4 + size]
        if len(element) != size:
            break
        at += 4 + size
        try:
            texts.append(str(element, "utf-8"))
        except UnicodeDecodeError:
            raise invalid("BYTES must hold UTF-8", field="inputs.data") from None
    if at != len(part) or len(texts) != count:
        raise malformed("BYTES elements do not fill the announced size", field="inputs.data")
    return texts


def write_output(
    name: str, values: NDArray[Any] | Sequence[str], *, binary: bool
) -> tuple[dict[str, Any], bytes]:
    """Return one output's head, and its bytes in the tail; none where it stands in the head."""
    if isinstance(values, np.ndarray):
        datatype = _NAMES[values.dtype]
        head: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(values.shape)}
        flat = np.ascontiguousarray(values, dtype=DTYPES[datatype])
        data, packed = flat.reshape(-1), flat.tobytes() if binary else b""
        listed: Any = data
    else:
        head = {"name": name, "datatype": "BYTES", "shape": [len(values)]}
        listed, packed = list(values), b""
        if binary:
            encoded = [value.encode() for value in values]
            packed = b"".join(struct.pack("<I", len(one)) + one for one in encoded)
    if binary:
        head["parameters"] = {"binary_data_size": len(packed)}
    else:
        head["data"] = listed
    return head, packed
