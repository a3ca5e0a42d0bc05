"""Tell an incident's thread: compose the mail and put it into the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters.mail import addresses, chat
from mlops.adapters.mail.compose import compose
from mlops.adapters.mail.outbox import enqueue
from mlops.adapters.mail.text import one_line
from mlops.core.alert import PAGED

if TYPE_CHECKING:
    from email.message import EmailMessage

    import sqlalchemy as sa

    from mlops.core.alert import Alert
    from mlops.site import Site


def notify(site: Site, engine: sa.Engine, alert: Alert) -> None:
    """Queue the mail of an alert, once per incident and stage; `deliver` sends it.

    Raises:
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    with engine.begin() as connection:
        notify_within(site, connection, alert)


def notify_within(site: Site, connection: sa.Connection, alert: Alert) -> bool:
    """Queue the mail within the caller's transaction; say whether it was new.

    Raises:
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    key = f"{alert.incident}:{alert.stage}{alert.again}"
    mail = addressed(site, alert)
    for channel in _channels(site, alert):
        copy = addressed(site, alert)
        copy[chat.HEADER] = channel
        if link := _link(alert):
            copy[chat.LINK] = link
        enqueue(connection, alert.project, f"{key}@{channel}", copy, alert.at_s)
    return enqueue(connection, alert.project, key, mail, alert.at_s)


def _link(alert: Alert) -> str:
    """Return a mail's first link, which is its page, where others than this machine can open it."""
    first = alert.links[0][1] if alert.links else ""
    return one_line(first, 500) if first.startswith(("http://", "https://")) else ""


def _channels(site: Site, alert: Alert) -> list[str]:
    settings = site.settings
    found = ["chat"] if settings.chat_urls.get_secret_value() else []
    paged = alert.stage in PAGED and settings.pager_urls.get_secret_value()
    return [*found, "pager"] if paged else found


def addressed(site: Site, alert: Alert) -> EmailMessage:
    """Return the mail of an alert from and to whom the settings name.

    Raises:
        UsageError: if MLOPS_MAIL_FROM or MLOPS_MAIL_TO holds no address.
    """
    settings = site.settings
    return compose(alert, settings.mail_from, addresses.split(settings.mail_to))
