"""What `mlops serve` says on its terminal; one that takes nothing (a full disk) ends nobody."""

from __future__ import annotations

from contextlib import suppress
from typing import TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, on stdout if no other stream is given."""
    with suppress(OSError):
        print(text, file=stream, flush=True)
