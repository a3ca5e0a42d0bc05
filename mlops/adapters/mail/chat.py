"""Chat and pager channels through Apprise: the head of a mail, where people already look."""

from __future__ import annotations

import hashlib
import logging
import re
from typing import TYPE_CHECKING

from mlops.adapters.mail.text import one_line

if TYPE_CHECKING:
    from email.message import EmailMessage

HEADER, LINK = "X-Mlops-Channel", "X-Mlops-Link"
_PARAGRAPH = "\n\n"
_MOST = 900  # characters; a chat is no place for a table


def channels(urls: str) -> list[str]:
    """Split MLOPS_CHAT_URLS or MLOPS_PAGER_URLS: addresses of Apprise, separated by blanks."""
    return re.split(r"[\s,]+(?=[a-z0-9+]+://)", urls.strip()) if urls.strip() else []


def send(urls: str, message: EmailMessage, took: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Send a mail's subject and first lines to every channel of a list that has not got it yet.

    Args:
        urls: the channels, as the setting lists them.
        message: the whole mail.
        took: names of the channels that have it already.

    Returns:
        names of the channels that have it now, and what is in the way of the others: nothing, or
        words that repeat no address, for it holds tokens.
    """
    import apprise

    logging.getLogger("apprise").addFilter(_discreet)
    body = message.get_body(("plain",))
    text = str(body.get_content()) if body else ""
    head = f"{text.split(_PARAGRAPH, 1)[0][:_MOST]}\n{message[LINK] or ''}".rstrip()
    title = one_line(str(message["Subject"]), 180)
    trouble = []
    for number, url in enumerate(channels(urls), 1):
        if _name(url) in took:
            continue
        sender = apprise.Apprise()
        if not sender.add(url):
            trouble.append(f"channel {number} is none that Apprise knows; see .env.example")
        # As text: a channel that reads Markdown or HTML must not read it in a column's name.
        elif not sender.notify(body=head, title=title, body_format=apprise.NotifyFormat.TEXT):
            trouble.append(f"channel {number} did not take the message")
        else:
            took = (*took, _name(url))
    return took, "; ".join(trouble)


def _discreet(record: logging.LogRecord) -> bool:
    """Say whether a line of Apprise's log repeats no address."""
    return "://" not in record.getMessage()


def _name(url: str) -> str:
    """Name a channel for the database: too short a hash to find its tokens by."""
    return hashlib.sha256(url.encode()).hexdigest()[:8]
