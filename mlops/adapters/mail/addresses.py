"""MLOPS_MAIL_FROM and MLOPS_MAIL_TO as addresses; what is none is refused, never dropped."""

from __future__ import annotations

import re
from contextlib import suppress
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.utils import unquote
from typing import TYPE_CHECKING

from mlops.adapters.mail.text import one_line
from mlops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BETWEEN = re.compile(r'[,;](?=(?:[^"]*"[^"]*")*[^"]*$)')  # none within quotes
_WHOLE = re.compile(r"(?:(?P<name>[^<>]*)<)?(?P<spec>[^<>\s]+)(?(name)>)")
"""`name@example.org`, or that in angle brackets after a name; nothing more, nothing less."""


def split(text: str) -> list[str]:
    """Split a list at its commas and semicolons, other than those in a quoted name."""
    return _BETWEEN.split(text)


def sender(text: str) -> Address:
    """Read the sender, `name@example.org` or `Name <name@example.org>`.

    Raises:
        UsageError: if it is no address.
    """
    return _address(text, "MLOPS_MAIL_FROM")


def receivers(texts: Iterable[str]) -> list[Address]:
    """Read receivers of the same form; blank ones are left out.

    Raises:
        UsageError: if one is no address, or more than one, or there is none.
    """
    found = [_address(text, "MLOPS_MAIL_TO") for text in texts if text.strip()]
    if not found:
        msg = "MLOPS_MAIL_TO: names no receiver; write addresses separated by commas"
        raise UsageError(msg)
    return found


def check(mail_from: str, mail_to: str) -> None:
    """Check both settings.

    Raises:
        UsageError: if one holds no address, or something beside it.
    """
    sender(mail_from)
    receivers(split(mail_to))


def _address(text: str, variable: str) -> Address:
    found = _WHOLE.fullmatch(text.strip())
    # What is no one line would begin another header.
    if found and found["spec"].isascii() and one_line(text) == text.strip():
        # The two in the middle: the parser of the standard library stumbles over `a@[`.
        with suppress(ValueError, IndexError, AttributeError, HeaderParseError):
            address = Address(unquote((found["name"] or "").strip()), addr_spec=found["spec"])
            if address.username and address.domain:
                return address
    msg = f"{variable}: {one_line(text, 100)!r} is no mail address; write name@example.org"
    raise UsageError(msg)
