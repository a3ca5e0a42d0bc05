"""Text from outside made safe to stand in a header, a page or a terminal."""

from __future__ import annotations

import re
import unicodedata

# Control, format (zero-width and right-to-left overrides), surrogates, line and paragraph marks.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def one_line(text: str, limit: int = 600) -> str:
    """Return text as one line of at most `limit` characters, without control characters.

    CR and LF would start a new mail header, NUL is refused by Postgres, a right-to-left
    override makes a name read as another.
    """
    cut = text[: 4 * limit]  # what comes after is not shown, and may be endless
    plain = "".join(" " if unicodedata.category(char) in _UNSAFE else char for char in cut)
    line = " ".join(plain.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def first_sentence(text: str) -> tuple[str, str]:
    """Split a line after its first sentence; the second part may be empty."""
    first, *rest = _SENTENCE.split(text, maxsplit=1)
    return first, rest[0] if rest else ""


def slug(text: str, limit: int = 60) -> str:
    """Return text as a file name's part: lower-case letters, digits and dashes."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:limit].strip("-") or "mail"
