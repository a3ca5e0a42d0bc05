"""Mails that wait in the database until a server took them: none is lost, none is sent for ever.

A row is due when `sent_s` is NULL and `next_s` has come. Claiming a row moves `next_s` ahead by
the lease, in one compare-and-swap; whoever is killed between sending and recording leaves a row
that comes due once more, so a kill costs at most one duplicate (with the same Message-ID).
A server that has read a mail to its end and does not say whether it keeps it gets it once more;
if it says nothing then either, the mail counts as sent. Nothing else gives up: after each failure
the row waits longer, at most an hour, for ever.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from email.errors import MessageError
from email.parser import BytesParser
from email.policy import SMTP
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from mlops.adapters.mail import chat, mailbox, notes, smtp
from mlops.adapters.mail.smtp import Patience
from mlops.adapters.mail.text import one_line
from mlops.adapters.sql.tables import outbox
from mlops.errors import MlopsError, Unanswered, Unavailable, UsageError
from mlops.params.name import project_name

if TYPE_CHECKING:
    from email.message import EmailMessage

    from mlops.adapters.mail.notes import Notes
    from mlops.site import Site

LEASE_S = 900.0
"""Longer than the longest conversation with a server: ten steps and an answer of `Patience`."""
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 3600.0
PER_CALL = 200
_CHANNEL = "@"  # in a key: the copy for `chat` or `pager`
# ValueError, LookupError, MessageError: a mail that cannot be read must not stop the others.
_FAILURES = (MlopsError, OSError, ValueError, LookupError, MessageError)


class _Waiting(NamedTuple):
    seq: int
    attempts: int
    mail: bytes
    notes: Notes


class _Tried(NamedTuple):
    """How a try ended: empty words say that it went out."""

    why: str
    notes: Notes
    hopeless: bool = False  # the other mails would fail alike


@dataclass(frozen=True)
class Mail:
    """One mail of a thread.

    Attributes:
        stage: `detected`, `promoted` …
        at_s: when it was written, seconds since 1970.
        sent_s: when a server took it; nothing while it waits.
    """

    stage: str
    at_s: float
    sent_s: float | None


def enqueue(
    connection: sa.Connection, project: str, key: str, message: EmailMessage, now_s: float
) -> bool:
    """Put a mail into the outbox within the caller's transaction; say whether it was new.

    Args:
        connection: an open transaction, so that an incident and its mail are written together.
        project: registered-model name.
        key: one mail per key, ever; `INCIDENT:STAGE`.
        message: the whole mail.
        now_s: seconds since 1970; it is due at once.
    """
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    statement = insert(outbox).values(
        project=project, key=key, at_s=now_s, message=message.as_bytes(policy=SMTP), attempts=0,
        next_s=now_s,
    )  # fmt: skip
    fresh = statement.on_conflict_do_nothing().returning(outbox.c.seq)
    return connection.execute(fresh).first() is not None


def deliver(
    site: Site, engine: sa.Engine, now_s: float,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> int:  # fmt: skip
    """Send this project's mails that are due; return how many went out.

    A mail that cannot be sent is recorded, logged and tried again later; the caller is never
    bothered. A server that does not answer ends the call: the other mails would fail alike.

    Args:
        site: whose settings name the server; without one, mails go to `.mlops/mailbox/`.
        engine: the project's database.
        now_s: seconds since 1970.
        patience: how long the server may take.

    Raises:
        ParamsError: if `params.yaml` does not name the project.
    """
    import structlog

    log = structlog.get_logger()
    project = project_name(site.layout.params)
    started, sent = time.monotonic(), 0
    for _ in range(PER_CALL):
        at_s = now_s + time.monotonic() - started
        row = _claim(engine, project, at_s)
        if row is None:
            break
        tried = _try(site, row, patience)
        at_s = now_s + time.monotonic() - started
        if not tried.why:
            _record(engine, row.seq, sent_s=at_s, error=None)
            sent += 1
            continue
        reason = one_line(tried.why, 400)
        log.warning("mail will be tried again", reason=reason, attempts=row.attempts)
        _record(
            engine, row.seq, error=reason, next_s=at_s + wait_s(row.attempts),
            message=notes.write(tried.notes, row.mail),
        )  # fmt: skip
        if tried.hopeless:
            break
    return sent


def waiting(engine: sa.Engine, project: str) -> list[tuple[str, int, str]]:
    """Return key, attempts and last error of every mail not sent yet, the oldest first."""
    query = (
        sa.select(outbox.c.key, outbox.c.attempts, sa.func.coalesce(outbox.c.error, ""))
        .where(outbox.c.project == project, outbox.c.sent_s.is_(None))
        .order_by(outbox.c.seq)
    )
    with engine.connect() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def thread(connection: sa.Connection, project: str, incident: str) -> tuple[Mail, ...]:
    """Return the mails of an incident's thread, the oldest first."""
    start = f"{incident}:"
    query = (
        sa.select(outbox.c.key, outbox.c.at_s, outbox.c.sent_s)
        .where(outbox.c.project == project, outbox.c.key.startswith(start, autoescape=True))
        .order_by(outbox.c.seq)
    )
    rows = connection.execute(query)
    named = ((row.key.removeprefix(start), row) for row in rows)
    return tuple(Mail(name, row.at_s, row.sent_s) for name, row in named if _CHANNEL not in name)


def wait_s(attempts: int) -> float:
    """Return how long to wait after so many failed attempts: 30 s, doubling, at most an hour."""
    return min(FIRST_WAIT_S * 2.0 ** min(max(attempts - 1, 0), 20), LONGEST_WAIT_S)


def _claim(engine: sa.Engine, project: str, at_s: float) -> _Waiting | None:
    """Take the oldest mail that is due, so that nobody else does for the length of the lease."""
    due = (
        sa.select(outbox.c.seq, outbox.c.attempts, outbox.c.message, outbox.c.next_s)
        .where(outbox.c.project == project, outbox.c.sent_s.is_(None), outbox.c.next_s <= at_s)
        .order_by(outbox.c.seq)
        .limit(1)
    )
    while True:
        with engine.connect() as connection:
            row = connection.execute(due).one_or_none()
        if row is None:
            return None
        mine = (outbox.c.seq == row.seq, outbox.c.next_s == row.next_s, outbox.c.sent_s.is_(None))
        taken = sa.update(outbox).where(*mine)
        with engine.begin() as connection:
            moved = connection.execute(
                taken.values(next_s=at_s + LEASE_S, attempts=row.attempts + 1)
            )
        if moved.rowcount == 1:
            told, mail = notes.read(bytes(row.message))
            return _Waiting(row.seq, row.attempts + 1, mail, told)


def _try(site: Site, row: _Waiting, patience: Patience) -> _Tried:
    """Send one mail, and say how that ended; whatever is wrong with it stops no other."""
    try:
        return _send(site, row, patience)
    except Unanswered as error:
        if not row.notes.unanswered:
            return _Tried(str(error), replace(row.notes, unanswered=True), hopeless=True)
        import structlog

        structlog.get_logger().warning("mail counts as sent, unconfirmed", why=str(error))
        return _Tried("", row.notes)
    except _FAILURES as error:
        hopeless = isinstance(error, (Unavailable, UsageError))
        return _Tried(str(error) or type(error).__name__, row.notes, hopeless)


def _send(site: Site, row: _Waiting, patience: Patience) -> _Tried:
    settings, message = site.settings, BytesParser(policy=SMTP).parsebytes(row.mail)
    if channel := message[chat.HEADER]:
        urls = settings.pager_urls if channel == "pager" else settings.chat_urls
        took, why = chat.send(urls.get_secret_value(), message, row.notes.took)
        return _Tried(why, replace(row.notes, took=took))
    url = settings.mail_url.get_secret_value()
    if not url:
        mailbox.deposit(site.layout.mailbox, message)
        return _Tried("", row.notes)
    later = smtp.send(smtp.parse(url), message, row.notes.again_to, patience)
    why = f"for now refused by {', '.join(later)}" if later else ""
    return _Tried(why, replace(row.notes, again_to=later))


def _record(engine: sa.Engine, seq: int, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(outbox).where(outbox.c.seq == seq).values(**values))
