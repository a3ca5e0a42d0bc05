"""Read `params.yaml` so that every mistake is one line: file, line, key, value, remedy."""

from __future__ import annotations

import difflib
import importlib
import math
import re
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from mlops.params.base import View
from mlops.params.remedies import remedy
from mlops.params.tree import MAX_BYTES, SHOWN, change, error, error_at, parse, short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from mlops.errors import ParamsError
    from mlops.params.tree import Lines

__all__ = ["MAX_BYTES", "SECTIONS", "load"]

SECTIONS = (
    "project", "data", "checks", "split", "holdout", "training_window", "model", "tune", "train",
    "evaluate", "labels", "gate", "promote", "monitoring", "trigger", "mail", "reports", "replay",
    "score", "backtest", "card",
)  # fmt: skip
"""Every top-level key that may stand in the file."""

_EVERYTHING = "mlops.params.everything"
"""By name: a stage's dependencies on code are computed from imports, and no stage depends on the
sections that it does not see."""

ViewT = TypeVar("ViewT", bound=View)

_KEY = re.compile(r"[a-z]\w*\.[a-z]\w*")


def load(path: Path, view: type[ViewT], changes: Sequence[str] = ()) -> ViewT:
    """Return the sections of the file that `view` declares, once all that stands in it is right.

    A mistake in another section would else be met hours later, by the step that reads it. Which
    sections must be there is the view's own matter.

    Args:
        path: the file.
        view: what is wanted of it.
        changes: `section.key=value`, which stand in place of what the file says; only where
            nothing is recorded as a model.

    Raises:
        ParamsError: naming file, line, key, value and remedy.
    """
    tree, lines = parse(path, SECTIONS)
    for one in changes:
        change(path, tree, lines, one)
    unknown = sorted(set(tree) - set(SECTIONS))
    if unknown:
        known = f"known: {', '.join(SECTIONS)}"
        what = f"is not a section{_suggest(unknown[0], SECTIONS)}; {known}"
        raise error(path, lines, (unknown[0],), what)
    whole: type[View] = importlib.import_module(_EVERYTHING).Everything
    try:
        whole.model_validate(tree)
    except ValidationError as wrong:
        if here := [e for e in wrong.errors() if e["type"] != "missing" or len(e["loc"]) > 1]:
            raise _first(path, lines, here, whole) from None
    wanted = {name: tree[name] for name in view.model_fields if name in tree}
    try:
        return view.model_validate(wanted)
    except ValidationError as wrong:
        raise _first(path, lines, wrong.errors(), view) from None


def _first(path: Path, lines: Lines, found: list[ErrorDetails], view: type[View]) -> ParamsError:
    """Return the error to begin with: a misspelt key before the missing one it stands for."""
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    return _explain(path, lines, first, view)


def _explain(path: Path, lines: Lines, first: ErrorDetails, view: type[View]) -> ParamsError:
    key = tuple(str(part) for part in first["loc"])
    kind, value = first["type"], first["input"]
    if kind == "missing":
        return error(path, lines, key, "is missing; add it")
    if kind == "extra_forbidden":
        known = _fields(view, key[:-1])
        guess = _suggest(key[-1], known)
        what = f"is not a known key{guess}; remove it or fix its spelling"
        return error(path, lines, key, what)
    if kind == "value_error":
        # Raised over a whole section: its message names the key, whose line is wanted.
        what = first["msg"].removeprefix("Value error, ")
        named = _KEY.match(what)
        return error_at(path, lines, tuple(named[0].split(".")) if named else key, what)
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        whole = kind == "int_type"
        what = f"= {short(value)!r} is text, not a number; {_as_number(value, whole=whole)}"
        return error(path, lines, key, what)
    what = f"= {short(repr(value))}: {remedy(kind, first['msg'])}"
    return error(path, lines, key, what)


def _fields(view: type[View], key: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that the section at `key` knows."""
    model: Any = view
    for part in key:
        model = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return ()
    return tuple(model.model_fields)


def _suggest(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name[:SHOWN], known, n=1)
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
