"""Frozen dataclasses as canonical JSON: equal objects give equal bytes, and nothing is guessed."""

from __future__ import annotations

import json
import types
from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
ADDED = {"added": True}
"""Metadata of a field that older records lack: there, and only there, its default is read."""


def to_json(value: object) -> str:
    """Return canonical JSON of a dataclass or plain value: sorted keys, no blanks, no NaN.

    Raises:
        ValueError: if a number is NaN or infinite.
    """
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(
        plain, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return `section.key` and the JSON text of every value of nested mappings, in their order."""
    out: list[tuple[str, str]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            out += flat(value, f"{prefix}{name}.")
        else:
            out.append((f"{prefix}{name}", json.dumps(value)))
    return out


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read a dataclass back; a missing, unknown or mistyped key is an error, never a default.

    Only a field that was `ADDED` later may be missing: records are never rewritten.

    Raises:
        DataError: naming the key.
    """
    try:
        content = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        msg = f"{kind.__name__}: not JSON ({error})"
        raise DataError(msg) from None
    return from_plain(kind, content)


def from_plain(kind: type[T], content: object) -> T:
    """Build a dataclass from what JSON or YAML gave, as strictly as `from_json`.

    Raises:
        DataError: naming the key.
    """
    built: T = _build(kind, content, kind.__name__)
    return built


def _no_constant(name: str) -> float:
    msg = f"{name} is no JSON number"
    raise ValueError(msg)


def _build(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _object(kind, value, where)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        options = [o for o in get_args(kind) if o is not types.NoneType]
        return None if value is None else _build(options[0], value, where)
    if origin is Literal:
        if value not in get_args(kind):
            msg = f"{where} = {value!r}: expected one of {', '.join(map(str, get_args(kind)))}"
            raise DataError(msg)
        return value
    if origin is tuple and isinstance(value, list):
        item, *_ = get_args(kind)
        return tuple(_build(item, part, f"{where}[{i}]") for i, part in enumerate(value))
    return _scalar(kind, value, where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        wanted = getattr(kind, "__name__", str(kind))
        msg = f"{where} = {str(value)[:60]!r}: expected {wanted}"
        raise DataError(msg)
    return value


@lru_cache(maxsize=256)
def _hints(kind: Any) -> dict[str, Any]:
    """Return the types of a class's fields: resolving their names costs more than all the rest."""
    return get_type_hints(kind)


def _object(kind: Any, value: Any, where: str) -> Any:
    names = {f.name for f in fields(kind)}
    needed = {f.name for f in fields(kind) if not f.metadata.get("added")}
    given = set(value) if isinstance(value, dict) else set()
    if not needed <= given <= names:
        wrong = ", ".join(sorted((needed - given) | (given - names)))
        msg = f"{where}: keys missing or unknown: {wrong}"
        raise DataError(msg)
    hints = _hints(kind)
    return kind(**{n: _build(hints[n], value[n], f"{where}.{n}") for n in sorted(given)})
