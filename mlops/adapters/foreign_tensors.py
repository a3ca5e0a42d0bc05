"""MLflow's signatures and data as the named tensors of the Open Inference Protocol, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Given = tuple[str, tuple[int, ...], NDArray[Any] | list[Any]]
    """A tensor that was sent: name, shape, and its values flat."""
    Wire = tuple[str, NDArray[Any] | list[str]]
    """A tensor to be sent: name, and numbers in their shape or a list of texts."""

_COLUMNS = {
    "double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "string": "BYTES",
    "boolean": "BOOL", "datetime": "BYTES",
}  # fmt: skip
"""By MLflow's types of columns; a truth value is read as `UINT8` 0 or 1, too."""
_TENSORS = {"f": "FP", "i": "INT", "u": "UINT"}


def described(signature: Any, alone: str) -> list[str]:
    """Return a signature's entries for people: `age (double)`, `image (uint8, -1 × 8 × 8 × 1)`.

    Args:
        signature: MLflow's schema of the inputs or the outputs.
        alone: the name of the only entry, where it has none.
    """
    found = []
    for n, spec in enumerate(signature.inputs):
        if signature.is_tensor_spec():
            kind = f"{spec.type}, {' × '.join(map(str, spec.shape))}"
        else:
            kind = str(getattr(spec.type, "name", spec.type))
            kind += "" if getattr(spec, "required", True) else ", may be missing"
        found.append(f"{_name(spec, n, alone)} ({kind})")
    return found


def columns(signature: Any, alone: str) -> list[dict[str, Any]]:
    """Return a signature as metadata of tensors; none where tensors cannot say it.

    Args:
        signature: MLflow's schema of the inputs or the outputs.
        alone: the name of the only entry, where it has none.
    """
    found = []
    for n, spec in enumerate(signature.inputs):
        if signature.is_tensor_spec():
            datatype, shape = _datatype(np.dtype(spec.type)), list(spec.shape)
        else:
            datatype, shape = _COLUMNS.get(getattr(spec.type, "name", "").lower(), ""), [-1]
        if not datatype:
            return []
        found.append({"name": _name(spec, n, alone), "datatype": datatype, "shape": shape})
    return found


def _name(spec: Any, place: int, alone: str) -> str:
    if spec.name is not None:
        return str(spec.name)
    return f"{alone}-{place}" if place else alone


def _datatype(dtype: np.dtype[Any]) -> str:
    if dtype.kind in _TENSORS:
        return f"{_TENSORS[dtype.kind]}{dtype.itemsize * 8}"
    return {"b": "BOOL", "O": "BYTES", "U": "BYTES", "S": "BYTES"}.get(dtype.kind, "")


def from_tensors(given: Sequence[Given], signature: Any) -> Any:
    """Return tensors as the model takes them: a frame, an array, or arrays by name.

    Raises:
        ValueError: if they are not the signature's.
    """
    import pandas as pd

    wanted = columns(signature, "inputs")
    sent = {name: (shape, values) for name, shape, values in given}
    optional = {str(s.name) for s in signature.inputs if not getattr(s, "required", True)}
    names = {str(entry["name"]) for entry in wanted}
    if not names - optional <= set(sent) <= names or not wanted:
        raise ValueError("names")
    if signature.is_tensor_spec():
        arrays = {
            str(entry["name"]): np.asarray(sent[entry["name"]][1]).astype(spec.type)
            .reshape(sent[entry["name"]][0])
            for entry, spec in zip(wanted, signature.inputs, strict=True)
        }  # fmt: skip
        return arrays if signature.has_input_names() else next(iter(arrays.values()))
    frame = {}
    for entry, spec in zip(wanted, signature.inputs, strict=True):
        if entry["name"] in sent:
            frame[entry["name"]] = _column(*sent[entry["name"]], spec.type)
    made = pd.DataFrame(frame)
    return made if signature.has_input_names() else made.rename(columns={"inputs": 0})


def _column(shape: tuple[int, ...], values: NDArray[Any] | list[Any], kind: Any) -> Any:
    if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise ValueError("shape")
    target = np.dtype(kind.to_numpy())
    if target.kind not in "fiub":
        return values
    array = np.asarray(values, dtype=np.float64 if isinstance(values, list) else None)
    cast = array.astype(target)
    if target.kind != "f" and not np.array_equal(cast, array):
        raise ValueError("not whole, or out of range")
    return cast


def tensors(answer: Any, alone: str) -> list[Wire]:
    """Return an answer as named tensors.

    Args:
        answer: a frame, arrays by name, or one array, series or list.
        alone: the name of the only one, where it has none.

    Raises:
        ValueError: if tensors cannot hold it.
        FloatingPointError: if it holds NaN or infinity.
    """
    import pandas as pd

    if isinstance(answer, pd.DataFrame):
        return [(str(name), _wire(answer[name].to_numpy())) for name in answer]
    if isinstance(answer, dict):
        return [(str(name), _wire(np.asarray(values))) for name, values in answer.items()]
    return [(alone, _wire(np.asarray(answer)))]


def _wire(values: NDArray[Any]) -> NDArray[Any] | list[str]:
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind in _TENSORS:
        if not np.isfinite(values).all():
            raise FloatingPointError("the model's answer is not finite")
        return values
    if values.ndim != 1:
        raise ValueError("texts in more than one axis")
    return [str(value) for value in values]
