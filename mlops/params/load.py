"""Read `params.yaml` so that every mistake is one line: file, line, key, value, remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import ValidationError

from mlops.errors import ParamsError
from mlops.params.base import View

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 20
MAX_DEPTH = 8
SECTIONS = (
    "project", "data", "checks", "split", "model", "tune", "train", "evaluate", "gate",
    "monitoring", "trigger",
)  # fmt: skip
"""Every top-level key that may stand in the file."""

ViewT = TypeVar("ViewT", bound=View)
Lines = dict[tuple[str, ...], int]


def load(path: Path, view: type[ViewT]) -> ViewT:
    """Return the sections of the file that `view` declares.

    Raises:
        ParamsError: naming file, line, key, value and remedy.
    """
    tree, lines = _parse(path)
    unknown = sorted(set(tree) - set(SECTIONS))
    if unknown:
        raise _error(path, lines, (unknown[0],), f"is not a section; known: {', '.join(SECTIONS)}")
    wanted = {name: tree[name] for name in view.model_fields if name in tree}
    try:
        return view.model_validate(wanted)
    except ValidationError as error:
        raise _explain(path, lines, error) from None


def _parse(path: Path) -> tuple[dict[str, Any], Lines]:
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = f"{path.name}: larger than {MAX_BYTES} bytes; this is no parameter file"
            raise ParamsError(msg)
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        msg = f"{path}: no such file; restore it with: git checkout {path.name}"
        raise ParamsError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{path.name}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise ParamsError(msg) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or "not YAML"
        msg = f"{path.name}{where}: {what}; fix the syntax"
        raise ParamsError(msg) from None
    if not isinstance(node, yaml.MappingNode):
        msg = f"{path.name}: holds no sections; expected {', '.join(SECTIONS)}"
        raise ParamsError(msg)
    lines: Lines = {}
    tree = _build(path, node, (), lines, set())
    return tree, lines


def _build(path: Path, node: yaml.Node, key: tuple[str, ...], lines: Lines, seen: set[int]) -> Any:
    """Turn nodes into plain values, refusing what YAML forgives: duplicates, aliases, objects."""
    if id(node) in seen:
        raise _error(path, lines, key, "is an alias; write the value out")
    seen.add(id(node))
    lines.setdefault(key, node.start_mark.line + 1)
    if len(key) > MAX_DEPTH:
        raise _error(path, lines, key, f"is nested more than {MAX_DEPTH} levels deep; flatten it")
    if isinstance(node, yaml.SequenceNode):
        return [_build(path, n, (*key, str(i)), lines, seen) for i, n in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        out: dict[str, Any] = {}
        for name_node, value in node.value:
            name = str(name_node.value)
            if name in out:
                lines[*key, name] = name_node.start_mark.line + 1
                raise _error(path, lines, (*key, name), "stands twice; keep one of the two")
            lines[*key, name] = name_node.start_mark.line + 1
            out[name] = _build(path, value, (*key, name), lines, seen)
        return out
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        raise _error(path, lines, key, f"has the tag {node.tag}; write a plain value")
    return _scalar(node)


def _scalar(node: yaml.Node) -> object:
    """Read one scalar as YAML 1.2 does: `no` is text, not False; the schema types the rest."""
    kind = node.tag.rsplit(":", 1)[-1]
    if kind == "bool" and node.value.lower() not in ("true", "false"):
        return node.value
    if kind == "timestamp":
        return node.value
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    finally:
        loader.dispose()


def _explain(path: Path, lines: Lines, error: ValidationError) -> ParamsError:
    first = error.errors()[0]
    key = tuple(str(part) for part in first["loc"])
    kind, value = first["type"], first["input"]
    if kind == "missing":
        return _error(path, lines, key, "is missing; add it")
    if kind == "extra_forbidden":
        return _error(path, lines, key, "is not a known key; remove it or fix its spelling")
    remedy = first["msg"].replace("Input should be", "write").replace("Value error, ", "")
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        remedy = f"is text, not a number; {_as_number(value)}"
    return _error(path, lines, key, f"= {value!r}: {remedy}")


def _as_number(text: str) -> str:
    """Say how to write a number that YAML took for text (`1e-3` lacks its dot)."""
    try:
        number = float(text)
    except ValueError:
        return "write a number"
    return f"write {number:g}" if "e" not in f"{number:g}" else f"write {number:.1e}"


def _error(path: Path, lines: Lines, key: tuple[str, ...], what: str) -> ParamsError:
    line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), 1)
    return ParamsError(f"{path.name}:{line}: {'.'.join(key)} {what}")
