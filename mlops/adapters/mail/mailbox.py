"""The default sink: mails as files that a person can open, when no SMTP server is set."""

from __future__ import annotations

import base64
import re
from email.parser import BytesHeaderParser, BytesParser
from email.policy import SMTP
from typing import TYPE_CHECKING

from filelock import FileLock

from mlops.adapters.files import write_bytes, write_text
from mlops.adapters.mail.text import slug

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

_HEAD_BYTES = 16_384  # headers come first; a mailbox of thousands is searched in a second


def deposit(folder: Path, message: EmailMessage) -> Path:
    """Write `NNNN-subject-slug.eml` and the same page as `.html`; return the `.eml`.

    A mail whose Message-ID lies there already is not written again. The `.eml` comes last, so
    a kill in between leaves no mail that lacks its page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        held = list(_mails(folder))
        wanted = str(message["Message-ID"])
        for path in reversed(held):
            if _message_id(path) == wanted:
                return path
        number = 1 + max((int(path.name.split("-")[0]) for path in held), default=0)
        path = folder / f"{number:04d}-{slug(str(message['Subject']))}.eml"
        write_text(path.with_suffix(".html"), page(message))
        write_bytes(path, message.as_bytes(policy=SMTP))
    return path


def page(message: EmailMessage) -> str:
    """Return a mail's HTML with its pictures inlined; its text, escaped, if it has no HTML."""
    body = message.get_body(("html", "plain"))
    if body is None:
        return ""
    content = str(body.get_content())
    if body.get_content_subtype() != "html":
        from html import escape

        return f"<!doctype html><meta charset=utf-8><pre>{escape(content)}</pre>"
    for part in message.walk():
        name = str(part["Content-ID"] or "").strip("<>")
        if name and part.get_content_maintype() == "image":
            inline = base64.b64encode(part.get_payload(decode=True)).decode()  # type: ignore[arg-type]
            address = f"data:{part.get_content_type()};base64,{inline}"
            content = content.replace(f'src="cid:{name}"', f'src="{address}"')
    return content


def read(path: Path) -> EmailMessage:
    """Return a mail of the mailbox."""
    return BytesParser(policy=SMTP).parsebytes(path.read_bytes())


def _mails(folder: Path) -> Iterator[Path]:
    """Yield the mails in the order of their numbers."""
    found = [path for path in folder.glob("*.eml") if re.match(r"\d+-", path.name)]
    yield from sorted(found, key=lambda path: int(path.name.split("-")[0]))


def _message_id(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    return str(BytesHeaderParser(policy=SMTP).parsebytes(head)["Message-ID"])
