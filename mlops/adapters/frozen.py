"""Nested frozen dataclasses of `mlops.core` as plain JSON and plain arrays, without pickle.

Whatever fields such a class has or will have: arrays go into one dictionary under their dotted
path, everything else into JSON that names its classes. Reading builds nothing but dataclasses of
`mlops.core`, and only with the fields that they have today; one that was added since
(`mlops.core.canonical.ADDED`) may be missing.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

_HOME = "mlops.core."


def pack(value: object, path: str, arrays: Arrays) -> Any:
    """Return a value as JSON can hold it, moving every array into `arrays` under its dotted path.

    Arrays and numpy scalars keep dtype and shape, tuples stay tuples, NaN and infinity survive.

    Args:
        value: a dataclass of `mlops.core`, tuple, array, number, text, bool or nothing.
        path: where it stands: `exam.recent`.
        arrays: filled.

    Raises:
        TypeError: naming the path of anything else.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            raise TypeError(f"{path}: an array of objects cannot be kept without pickle")
        arrays[path] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "scalar": path}
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is tuple:
        return [pack(part, f"{path}.{place}", arrays) for place, part in enumerate(value)]
    if is_dataclass(value) and type(value).__module__.startswith(_HOME):
        content = {f.name: getattr(value, f.name) for f in fields(value)}
        return {
            "class": f"{type(value).__module__}.{type(value).__qualname__}",
            "fields": {name: pack(v, f"{path}.{name}", arrays) for name, v in content.items()},
        }
    raise TypeError(f"{path}: {type(value).__name__} cannot be kept; make it a frozen dataclass")


def unpack(plain: Any, arrays: Arrays) -> Any:
    """Return what `pack` was given.

    Raises:
        DataError: if an array is missing, or a class is unknown or has other fields now.
    """
    if isinstance(plain, list):
        return tuple(unpack(part, arrays) for part in plain)
    if not isinstance(plain, dict):
        return plain
    if set(plain) == {"class", "fields"}:
        return _build(plain["class"], plain["fields"], arrays)
    if set(plain) == {"float"} and plain["float"] in ("nan", "inf", "-inf"):
        return float(plain["float"])
    if set(plain) in ({"array"}, {"scalar"}):
        [(shape, path)] = plain.items()
        if path not in arrays:
            raise DataError(f"array {path} is missing")
        return arrays[path] if shape == "array" else arrays[path][()]
    raise DataError(f"keys {', '.join(sorted(map(str, plain)))} mean nothing here")


def _build(name: object, content: object, arrays: Arrays) -> Any:
    kind = _find(str(name))
    names = {f.name for f in fields(kind)}
    needed = {f.name for f in fields(kind) if not f.metadata.get("added")}
    given = set(content) if isinstance(content, dict) else set()
    if not isinstance(content, dict) or not needed <= given <= names:
        wrong = (needed - given) | (given - names)
        msg = f"{name} has other fields now: {', '.join(sorted(map(str, wrong)))}"
        raise DataError(msg)
    return kind(**{name: unpack(value, arrays) for name, value in content.items()})


def _find(name: str) -> Any:
    """Return a dataclass of `mlops.core` by its full name; nothing else is ever imported."""
    module, _, kind = name.rpartition(".")
    if module.startswith(_HOME) and all(part.isidentifier() for part in name.split(".")):
        try:
            found = getattr(importlib.import_module(module), kind, None)
        except ModuleNotFoundError:
            found = None
        if isinstance(found, type) and is_dataclass(found):
            return found
    raise DataError(f"{name} is no dataclass of this code")
