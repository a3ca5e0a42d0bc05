"""Texts, checked: what is no text, or cannot be encoded, is refused before a model sees it."""

from __future__ import annotations

from typing import Any

from mlops.serving.reply import invalid


def texts(values: Any, field: str) -> list[str]:
    """Return texts as they are.

    Raises:
        Refused: 422 unless every one is text with something in it, and without NUL, which pads.
    """
    if not all(isinstance(value, str) and value for value in values):
        raise invalid("must be texts that are not empty", field=field)
    if any("\0" in value for value in values):
        raise invalid("must be texts without NUL", field=field)
    try:
        for value in values:
            value.encode()
    except UnicodeEncodeError:
        raise invalid("must be texts without lone surrogates", field=field) from None
    return list(values)
