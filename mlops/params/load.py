"""Read `params.yaml` so that every mistake is one line: file, line, key, value, remedy."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mlops.errors import ParamsError
from mlops.params.base import View

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

MAX_BYTES = 1 << 16  # the template has 4 KiB; a full file of this size is read within a second
MAX_DEPTH = 8
SECTIONS = (
    "project", "data", "checks", "split", "holdout", "training_window", "model", "tune", "train",
    "evaluate", "labels", "gate", "promote", "monitoring", "trigger", "mail", "reports", "score",
    "card",
)  # fmt: skip
"""Every top-level key that may stand in the file."""

ViewT = TypeVar("ViewT", bound=View)
Lines = dict[tuple[str, ...], int]

_SHOWN = 60  # characters of a value that a message repeats
_PLAIN = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
_KEY = re.compile(r"[a-z]\w*\.[a-z]\w*")
_REMEDIES = {
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "string_type": "write text, in quotes",
    "model_type": "write its keys below it, indented",
    "model_attributes_type": "write its keys below it, indented",
    "dict_type": "write its keys below it, indented",
    "tuple_type": "write a list, as in [0.1, 0.5]",
    "too_long": "write fewer values",
    "too_short": "write more values",
}
"""pydantic's type of error → what to do, where its own message does not say that."""


class _ShallowLoader(yaml.SafeLoader):
    """Stops at a depth that no parameter file has: PyYAML's time grows with its square."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node, counting the levels above it."""
        self.depth += 1
        if self.depth > MAX_DEPTH + 1:
            problem = f"nested more than {MAX_DEPTH} levels deep"
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def load(path: Path, view: type[ViewT]) -> ViewT:
    """Return the sections of the file that `view` declares.

    Raises:
        ParamsError: naming file, line, key, value and remedy.
    """
    tree, lines = _parse(path)
    unknown = sorted(set(tree) - set(SECTIONS))
    if unknown:
        known = f"known: {', '.join(SECTIONS)}"
        what = f"is not a section{_suggest(unknown[0], SECTIONS)}; {known}"
        raise _error(path, lines, (unknown[0],), what)
    wanted = {name: tree[name] for name in view.model_fields if name in tree}
    try:
        return view.model_validate(wanted)
    except ValidationError as error:
        found = error.errors()
        # A misspelt key is named as such, not as the missing one it stands for.
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        raise _explain(path, lines, first, view) from None


def _parse(path: Path) -> tuple[dict[str, Any], Lines]:
    node = _compose(path)
    if not isinstance(node, yaml.MappingNode):
        msg = f"{path.name}:1: holds no sections; write {', '.join(SECTIONS)}"
        raise ParamsError(msg)
    lines: Lines = {}
    tree = _build(path, node, (), lines, set())
    return tree, lines


def _compose(path: Path) -> yaml.Node | None:
    """Read the file as YAML nodes: nothing in it is constructed, so nothing in it can run."""
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = f"{path.name}: larger than {MAX_BYTES} bytes; this is no parameter file"
            raise ParamsError(msg)
        text = path.read_text(encoding="utf-8")
        return yaml.compose(text, Loader=_ShallowLoader)
    except FileNotFoundError:
        msg = f"{path}: no such file; restore it with: git checkout {path.name}"
    except OSError as error:
        msg = f"{path}: unreadable ({error.strerror}); it must be a file that you may read"
    except UnicodeDecodeError as error:
        msg = f"{path.name}: not UTF-8 text (byte {error.start}); save it as UTF-8"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        msg = f"{path.name}:{line}: character {error.character!r} is not allowed; remove it"
    except yaml.MarkedYAMLError as error:
        where = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        msg = f"{path.name}{where}: {error.problem or 'not YAML'}; fix the syntax"
    raise ParamsError(msg)


def _build(path: Path, node: yaml.Node, key: tuple[str, ...], lines: Lines, seen: set[int]) -> Any:
    """Turn nodes into plain values, refusing what YAML forgives: duplicates, aliases, objects."""
    if id(node) in seen:
        raise _error(path, lines, key, "is an alias; write the value out")
    seen.add(id(node))
    lines.setdefault(key, node.start_mark.line + 1)
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if tag not in _PLAIN:
        shown = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise _error(path, lines, key, f"has the tag {_short(shown)}; write a plain value")
    if isinstance(node, yaml.SequenceNode):
        return [_build(path, n, (*key, str(i)), lines, seen) for i, n in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(tag, node.value)
    out: dict[str, Any] = {}
    for name_node, value in node.value:
        name = str(name_node.value)
        if not isinstance(name_node, yaml.ScalarNode):
            raise _error(path, lines, key, "has a list or section for a key; write text")
        lines[*key, name] = name_node.start_mark.line + 1
        if name in out:
            raise _error(path, lines, (*key, name), "stands twice; keep one of the two")
        out[name] = _build(path, value, (*key, name), lines, seen)
    return out


def _scalar(tag: str, text: str) -> object:
    """Read one scalar as YAML 1.2 does; what it would not take for a number is text.

    So `no` is not False, `1:30` is not 90 and `010` is not 8; the schema then refuses the text.
    """
    if tag == "null":
        return None
    if tag == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if tag == "int" and _INT.fullmatch(text):
        return int(text)
    if tag == "float" and _FLOAT.fullmatch(text):
        return float(text)
    if tag == "float" and text.lower().lstrip("+-") in (".nan", ".inf"):
        return float(text.replace(".", "", 1))
    return text


def _explain(path: Path, lines: Lines, first: ErrorDetails, view: type[View]) -> ParamsError:
    key = tuple(str(part) for part in first["loc"])
    kind, value = first["type"], first["input"]
    if kind == "missing":
        return _error(path, lines, key, "is missing; add it")
    if kind == "extra_forbidden":
        known = _fields(view, key[:-1])
        remedy = "remove it or fix its spelling"
        return _error(path, lines, key, f"is not a known key{_suggest(key[-1], known)}; {remedy}")
    if kind == "value_error":
        # Raised over a whole section: its message names the key, whose line is wanted.
        what = first["msg"].removeprefix("Value error, ")
        named = _KEY.match(what)
        return _at(path, lines, tuple(named[0].split(".")) if named else key, what)
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        whole = kind == "int_type"
        what = f"= {_short(value)!r} is text, not a number; {_as_number(value, whole=whole)}"
        return _error(path, lines, key, what)
    remedy = _REMEDIES.get(kind) or re.sub(
        r"^(Input|String) should (be|match|have)", r"write a value that must \2", first["msg"]
    ).replace("that must match", "that matches").replace("that must be", "that is").replace(
        "that must have", "that has"
    )  # fmt: skip
    return _error(path, lines, key, f"= {_short(repr(value))}: {remedy}")


def _fields(view: type[View], key: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that the section at `key` knows."""
    model: Any = view
    for part in key:
        model = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return ()
    return tuple(model.model_fields)


def _suggest(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name[:_SHOWN], known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _as_number(text: str, *, whole: bool) -> str:
    """Say how to write a number that YAML took for text (`1e-3` lacks its dot)."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        return "write a whole number" if whole else "write a number"
    if whole and number.is_integer():
        return f"write {int(number)}"
    shown = repr(number)
    return f"write {shown if '.' in shown else shown.replace('e', '.0e')}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _error(path: Path, lines: Lines, key: tuple[str, ...], what: str) -> ParamsError:
    return _at(path, lines, key, f"{_short('.'.join(key))} {what}")


def _at(path: Path, lines: Lines, key: tuple[str, ...], what: str) -> ParamsError:
    line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), 1)
    return ParamsError(f"{path.name}:{line}: {what}")
