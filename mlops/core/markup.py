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


def plain(text: str) -> str:
    """Return text that no viewer takes for Markdown or HTML, on one line: names come from data."""
    escaped = _MARKUP.sub(r"\\\1", text.translate(_ENTITIES))
    return " ".join(_COLON.sub("&#58;", escaped).split())


def code(text: str) -> str:
    """Return text in the face of code, on one line; back quotes in it would end it."""
    return f"`{' '.join(text.replace('`', '′').split())}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], gap: str = "") -> str:
    """Return a table.

    Args:
        head: titles of the columns, as Markdown.
        rows: cells as Markdown; none gives an empty text instead of a bare head.
        gap: stands after every cell but a row's last, where a viewer sets no space of its own.
    """
    lines = [f"| {f'{gap} | '.join(cells)} |" for cells in (head, *rows)]
    if len(lines) == 1:
        return ""
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


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
