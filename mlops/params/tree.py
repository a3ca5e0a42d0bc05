"""The file's text as plain values: nothing in it is constructed, so nothing in it can run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from mlops.errors import ParamsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BYTES = 1 << 16  # the template has 4 KiB; a full file of this size is read within a second
MAX_DEPTH = 8
Lines = dict[tuple[str, ...], int]

SHOWN = 60
"""Characters of a value that a message repeats."""

_PLAIN = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
_NAME = re.compile(r"[a-z]\w*(\.[a-z]\w*)+")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")


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


def parse(path: Path, sections: Sequence[str]) -> tuple[dict[str, Any], Lines]:
    """Return the file as plain values, and the line on which each key stands.

    Raises:
        ParamsError: naming file, line and remedy.
    """
    node = _compose(path)
    if not isinstance(node, yaml.MappingNode):
        msg = f"{path.name}:1: holds no sections; write {', '.join(sections)}"
        raise ParamsError(msg)
    lines: Lines = {}
    tree = _build(path, node, (), lines, set())
    return tree, lines


def change(path: Path, tree: dict[str, Any], lines: Lines, change: str) -> None:
    """Put one `section.key=value` into the tree; its line is 0, which stands for the option."""
    name, equals, text = change.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise ParamsError(f"-S {short(change)}: write section.key=value, as in -S gate.alpha=0.1")
    key = tuple(name.split("."))
    try:
        node = yaml.compose(text or "null", Loader=_ShallowLoader)
    except yaml.YAMLError:
        node = None
    if node is None:
        raise ParamsError(f"-S {name}: {short(text)!r} is no value; quote it")
    place = tree
    for depth, part in enumerate(key[:-1], 1):
        lines.setdefault(key[:depth], 0)
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise ParamsError(f"-S {name}: {part} holds no keys; see: mlops config show")
    lines[key] = 0
    place[key[-1]] = _build(path, node, key, lines, set())


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
        raise error(path, lines, key, "is an alias; write the value out")
    seen.add(id(node))
    lines.setdefault(key, node.start_mark.line + 1)
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if tag not in _PLAIN:
        shown = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise error(path, lines, key, f"has the tag {short(shown)}; write a plain value")
    if isinstance(node, yaml.SequenceNode):
        return [_build(path, n, (*key, str(i)), lines, seen) for i, n in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(tag, node.value)
    out: dict[str, Any] = {}
    for name_node, value in node.value:
        name = str(name_node.value)
        if not isinstance(name_node, yaml.ScalarNode):
            raise error(path, lines, key, "has a list or section for a key; write text")
        lines[*key, name] = name_node.start_mark.line + 1
        if name in out:
            raise error(path, lines, (*key, name), "stands twice; keep one of the two")
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


def short(text: str) -> str:
    """Return as much of a value as a message repeats."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def error(path: Path, lines: Lines, key: tuple[str, ...], what: str) -> ParamsError:
    """Return the error of a key at its line."""
    return error_at(path, lines, key, f"{short('.'.join(key))} {what}")


def error_at(path: Path, lines: Lines, key: tuple[str, ...], what: str) -> ParamsError:
    """Return an error at the line of a key, or of the nearest section above it that has one."""
    line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), 1)
    return ParamsError(f"{path.name}:{line}: {what}" if line else f"-S {what}")
