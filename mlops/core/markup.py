"""Markdown that MLflow, Prefect and a plain viewer all show alike, with data that stays literal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Every viewer knows entities; MLflow's knows no backslash before these.
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKUP = re.compile(r"([\\`*_\[\]|~#!@])")
# `://` becomes a link and `:name:` a picture in MLflow and Prefect; `drift: contrast` is neither.
_COLON = re.compile(r":(?=\S)")

_NEARLY = 0.8  # of the most letters in a column


def plain(text: str, most: int = 500) -> str:
    """Return text that no viewer takes for Markdown or HTML, on one line: names come from data.

    Args:
        text: anything.
        most: letters to keep; a page has no room for more.
    """
    line = " ".join(text.split())
    line = line if len(line) <= most else line[: most - 1] + "…"
    return _COLON.sub("&#58;", _MARKUP.sub(r"\\\1", line.translate(_ENTITIES)))


def code(text: str) -> str:
    """Return text in the face of code, on one line; back quotes in it would end it."""
    return f"`{' '.join(text.replace('`', '′').split())}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], gap: str = "") -> str:
    """Return a table.

    Args:
        head: titles of the columns, as Markdown.
        rows: cells as Markdown; none gives an empty text instead of a bare head.
        gap: keeps a column off the next one, where a viewer sets no space of its own.
    """
    lines = [list(head), *map(list, rows)]
    if len(lines) == 1:
        return ""
    for column in range(len(head) - 1) if gap else ():
        # The widest cells set a column's width; by letters they can only be guessed.
        widest = max(len(line[column]) for line in lines)
        for line in lines:
            line[column] += gap if len(line[column]) >= _NEARLY * widest else ""
    shown = [f"|{'|'.join(line)}|" for line in lines]
    return "\n".join([shown[0], "|---" * len(head) + "|", *shown[1:]])


def bullets(items: Iterable[str]) -> str:
    """Return a list, one item a line."""
    return "\n".join(f"- {item}" for item in items)


def figure(value: float | None) -> str:
    """Return a number with four decimals and a true minus; a dash where there is none."""
    return "–" if value is None else f"{value:.4f}".replace("-", "−")


def percent(value: float | None) -> str:
    """Return a share as per cent with one decimal; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %".replace("-", "−")


def moment(at_s: float) -> str:
    """Return a time, given in seconds since 1970, to the minute."""
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
