"""Shifts that a fire drill may send, by kind of examples, and how one is written.

What each does is in `mlops.core.shifted`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops.core import corruption
from mlops.core.schema import TableSchema, TextSchema
from mlops.errors import UsageError

if TYPE_CHECKING:
    from mlops.core.schema import Schema

_LARGEST = 100.0
_SEVERITY = "0 to 1, in steps of severity 1 to 5"
_SHARE = "0 to 1"


@dataclass(frozen=True)
class Known:
    """A shift that may be asked for.

    Attributes:
        name: as it is written.
        words: what happens.
        strength: what its number means.
        on: what may follow its name after `@`: `number`, `category`, `column`, `class`, or nothing.
        signs: words besides its name and columns by which one recognises it in an incident.
    """

    name: str
    words: str
    strength: str
    on: Literal["number", "category", "column", "class", ""] = ""
    signs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shift:
    """A shift at a strength.

    Attributes:
        known: which.
        on: column or class that it is about; empty for all columns, or the first class.
        strength: as asked for.
    """

    known: Known
    on: str
    strength: float

    @property
    def text(self) -> str:
        """Return it as it is written: `missing@age:0.3`."""
        return f"{self.known.name}{'@' + self.on if self.on else ''}:{self.strength:g}"

    @property
    def words(self) -> str:
        """Say what happens: `every image through the corruption fog, severity 2 of 5`."""
        about = f" ({self.on})" if self.on else ""
        if self.known.strength == _SEVERITY:
            return f"{self.known.words}, severity {severity(self.strength)} of 5"
        return f"{self.known.words}{about}: {self.strength:g}, {self.known.strength}"


_IMAGE_SIGNS = {
    "blur": ("sharpness",), "rotation": ("slant",), "fog": ("contrast", "brightness", "coverage"),
}  # fmt: skip
_IMAGE = tuple(
    Known(
        name,
        f"every image through the corruption {name}",
        _SEVERITY,
        "",
        _IMAGE_SIGNS.get(name, ()),
    )
    for name in corruption.NAMES
)
_TABLE = (
    Known("shift", "numbers are moved", "standard deviations, either sign", "number"),
    Known("scale", "numbers are multiplied", "the factor", "number"),
    Known(
        "missing", "values are missing", f"share of the values, {_SHARE}", "column", ("missing",)
    ),
    Known("novel", "names that no model has seen", f"share of the values, {_SHARE}", "category"),
    Known("noise", "every number is noisy", _SEVERITY),
    Known("swap", "values come from other rows", _SEVERITY, "", ("follows",)),
)
_TEXT = (
    Known("typos", "letters are replaced", _SEVERITY),
    Known("drops", "letters are missing", _SEVERITY),
    Known("swaps", "neighbouring letters change places", _SEVERITY),
    Known(
        "truncate", "texts end early", f"share that is cut off, {_SHARE}", "", ("length", "words")
    ),
    Known("unknown", "words that nobody knows", f"share of the words, {_SHARE}"),
)
_MIX = Known("mix", "one class comes more often", f"share of the rows that are of it, {_SHARE}",
             "class", ("predicted",))  # fmt: skip
_CONCEPT = Known(
    "concept", "the same examples, other truths: only labels show it",
    f"share of the rows, {_SHARE}", "", ("concept",),
)  # fmt: skip
_MOVED = Known("concept", "the same examples, the truth moved: only labels show it",
               "standard deviations of the labels, either sign", "", ("concept",))  # fmt: skip
_FREE = ("standard deviations", "the factor")


def known_shifts(schema: Schema) -> tuple[Known, ...]:
    """Return the shifts that examples of a kind may meet."""
    kind = _TABLE if isinstance(schema, TableSchema) else _IMAGE
    kind = _TEXT if isinstance(schema, TextSchema) else kind
    return (*kind, _MIX, _CONCEPT) if schema.classes else (*kind, _MOVED)


def parse_shift(text: str, schema: Schema) -> Shift:
    """Read `NAME:STRENGTH` or `NAME@COLUMN:STRENGTH`.

    Raises:
        UsageError: naming what is unknown, with what is known.
    """
    head, colon, tail = text.rpartition(":")
    name, _, on = head.partition("@")
    choice = known_shifts(schema)
    names = ", ".join(k.name for k in choice)
    if not colon:
        msg = f"--shift {text}: no strength; write NAME:STRENGTH, as in {choice[0].name}:0.4"
        raise UsageError(f"{msg}; known: {names}")
    known = next((k for k in choice if k.name == name), None)
    if known is None:
        msg = f"--shift {text}: {name!r} is unknown for {schema.kind}s; one of: {names}"
        raise UsageError(f"{msg}; see: mlops simulate --list")
    allowed = targets(known, schema)
    if on and on not in allowed:
        what = f"one of: {', '.join(allowed[:20])}" if allowed else f"write {name}:{tail}"
        raise UsageError(f"--shift {text}: {name} cannot be about {on!r}; {what}")
    return Shift(known, on, _strength(text, tail, known))


def signs(shift: Shift, schema: Schema) -> tuple[str, ...]:
    """Return columns and words by which a person would recognise a shift in an incident."""
    if shift.known.on in ("number", "category", "column"):
        own = (shift.on,) if shift.on else targets(shift.known, schema)
        return (*own, *shift.known.signs)
    return (shift.known.name, *shift.known.signs)


def targets(known: Known, schema: Schema) -> tuple[str, ...]:
    """Return the columns or classes that a shift may be about."""
    if known.on == "class":
        return schema.classes
    columns = schema.columns if isinstance(schema, TableSchema) else ()
    return tuple(c.name for c in columns if known.on in ("column", c.kind))


def _strength(text: str, tail: str, known: Known) -> float:
    try:
        value = float(tail)
    except ValueError:
        value = math.nan
    free = known.strength.startswith(_FREE)
    nothing = 1.0 if known.name == "scale" else 0.0
    fine = -_LARGEST <= value <= _LARGEST if free else 0.0 < value <= 1.0
    if known.name == "scale":
        fine = 0.0 < value <= _LARGEST
    if not fine or value == nothing:
        msg = f"--shift {text}: the strength {tail!r} is none; write a number: {known.strength}"
        raise UsageError(msg)
    return value


def severity(strength: float) -> int:
    """Return the severity, 1 to 5, of a strength above 0 and up to 1."""
    return max(1, math.ceil(5 * strength - 1e-9))
