"""Mails that a verb has queued go out with it: not every user has a process that sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.layout import Layout
    from mlops.settings import Settings

MAILING = frozenset({"promote", "approve", "reject", "reconcile", "announce"})
"""Verbs that may queue a mail."""


def send_due(layout: Layout, settings: Settings) -> int:
    """Send the mails that are due, and return how many went out.

    What is in the way is logged, and never fails the verb: a mail stays in the outbox until some
    process has sent it.
    """
    from datetime import UTC, datetime

    import sqlalchemy as sa
    import structlog

    from mlops.adapters.mail.outbox import deliver
    from mlops.adapters.sql.engine import database
    from mlops.errors import MlopsError
    from mlops.site import Site

    now = datetime.now(UTC)
    site = Site(layout, settings, now, layout.work / "post")
    try:
        with database(site) as engine:
            return deliver(site, engine, now.timestamp())
    except (MlopsError, sa.exc.SQLAlchemyError, OSError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        structlog.get_logger().warning("mails wait in the outbox", why=said)
        return 0
