"""Chat and pager channels through Apprise: the head of a mail, where people already look."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops.adapters.mail.text import one_line
from mlops.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from email.message import EmailMessage

HEADER = "X-Mlops-Channel"
_MOST = 900  # characters; a chat is no place for a table


def channels(urls: str) -> list[str]:
    """Split MLOPS_CHAT_URLS or MLOPS_PAGER_URLS: addresses of Apprise, separated by blanks."""
    return re.split(r"[\s,]+(?=[a-z0-9+]+://)", urls.strip()) if urls.strip() else []


def send(urls: str, message: EmailMessage) -> None:
    """Send a mail's subject and first lines to every channel of a list.

    Raises:
        UsageError: if an address is none that Apprise knows; it is not repeated, it holds tokens.
        Unavailable: if a channel did not take it. Apprise says no more than that.
    """
    import apprise

    sender = apprise.Apprise()
    for number, url in enumerate(channels(urls), 1):
        if not sender.add(url):
            msg = f"channel {number} of the chat or pager addresses is none that Apprise knows"
            raise UsageError(f"{msg}; see MLOPS_CHAT_URLS and MLOPS_PAGER_URLS in .env.example")
    body = message.get_body(("plain",))
    text = str(body.get_content()) if body else ""
    head = text.split("\n\n", 1)[0][:_MOST]
    title = one_line(str(message["Subject"]), 180)
    # As text: a channel that reads Markdown or HTML must not read it in a column's name.
    if not sender.notify(body=head, title=title, body_format=apprise.NotifyFormat.TEXT):
        msg = "a chat or pager channel did not take the message; it is tried again"
        raise Unavailable(msg)
