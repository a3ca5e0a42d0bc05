"""What a mail in the outbox remembers of earlier tries: header lines before it, sent to nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINES = re.compile(rb"(?:X-Mlops-[A-Za-z-]+: [^\r\n]*\r\n)*")
_AGAIN_TO, _UNANSWERED, _TOOK = "X-Mlops-Again-To", "X-Mlops-Unanswered", "X-Mlops-Took"


@dataclass(frozen=True)
class Notes:
    """What became of a mail so far.

    Attributes:
        again_to: receivers that were put off, the others having it; empty for all.
        unanswered: a server has read it to its end once, and never said whether it keeps it.
        took: names of the chat or pager channels that have it.
    """

    again_to: tuple[str, ...] = ()
    unanswered: bool = False
    took: tuple[str, ...] = ()


def read(content: bytes) -> tuple[Notes, bytes]:
    """Split a row's content into its notes and the mail itself."""
    head = _LINES.match(content)
    end = head.end() if head else 0
    lines = dict(line.split(": ", 1) for line in content[:end].decode().splitlines())
    listed = {name: tuple(text.split(",")) for name, text in lines.items()}
    notes = Notes(listed.get(_AGAIN_TO, ()), _UNANSWERED in lines, listed.get(_TOOK, ()))
    return notes, content[end:]


def write(notes: Notes, mail: bytes) -> bytes:
    """Put notes before a mail."""
    lines = [f"{_AGAIN_TO}: {','.join(notes.again_to)}"] if notes.again_to else []
    lines += [f"{_UNANSWERED}: yes"] if notes.unanswered else []
    lines += [f"{_TOOK}: {','.join(notes.took)}"] if notes.took else []
    return "".join(f"{line}\r\n" for line in lines).encode() + mail
