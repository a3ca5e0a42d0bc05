"""Hand a mail to an SMTP server, never with credentials in the clear."""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.policy import SMTP as SMTP_POLICY
from email.utils import getaddresses
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from mlops.adapters.mail.text import one_line
from mlops.errors import MlopsError, Unanswered, Unavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import EmailMessage


@dataclass(frozen=True)
class Patience:
    """How long a server may take, in seconds.

    Attributes:
        step_s: for each step of the conversation, of which there are about ten.
        answer_s: to say whether it keeps a mail that it has read to its end, as RFC 5321, 4.5.3.2.6
            asks. Who gives up sooner sends again what was taken.
    """

    step_s: float = 15.0
    answer_s: float = 600.0


@dataclass(frozen=True)
class Server:
    """An SMTP server, as MLOPS_MAIL_URL says.

    Attributes:
        host: name or address.
        port: TCP port.
        tls: `implicit` (smtps), `starttls` (must succeed, verified), or `none`.
        user: empty for no login.
        password: hidden in prints.
    """

    host: str
    port: int
    tls: Literal["implicit", "starttls", "none"]
    user: str = ""
    password: str = field(default="", repr=False)


def parse(url: str) -> Server:
    """Read MLOPS_MAIL_URL: `smtp://user:password@host:587` or `smtps://…`.

    STARTTLS is demanded when there are credentials or the host is not this machine. A mail
    catcher in a closed network may be named with `?starttls=never`, without credentials.

    Raises:
        UsageError: if it is malformed. The message repeats no part of it: a password with an
            unescaped `/` or `#` may have ended up anywhere.
    """
    try:
        parts = urlsplit(url.strip())
        port, query = parts.port, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _malformed("has no valid host, port or query") from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    host = parts.hostname or ""
    if parts.scheme not in {"smtp", "smtps"}:
        raise _malformed("does not start with smtp:// or smtps://")
    if not host or port == 0 or parts.path not in {"", "/"} or parts.fragment:
        raise _malformed("is not scheme, host and port alone")
    if bool(user) != bool(password):
        raise _malformed("has a user without a password or the reverse")
    if not (user + password).isprintable() or any(not (c.isalnum() or c in ".-:_") for c in host):
        raise _malformed("has a character that cannot stand there")
    if query not in ({}, {"starttls": "never"}) or (query and parts.scheme == "smtps"):
        raise _malformed("has a query other than ?starttls=never after smtp://")
    if query and user:
        raise _malformed("would send credentials without encryption; drop ?starttls=never")
    if parts.scheme == "smtps":
        return Server(host, port or 465, "implicit", user, password)
    if not query and (user or not _is_this_machine(host)):
        return Server(host, port or 587, "starttls", user, password)
    return Server(host, port or 25, "none")


class _Patient(smtplib.SMTP):
    """A conversation that waits longer for the answer to a whole mail than for all others."""

    answer_s = 0.0
    handed = False  # whether the server has all of the mail

    def send(self, s: Any) -> None:
        super().send(s)
        if isinstance(s, bytes) and s.endswith(b"\r\n.\r\n"):
            self.handed = True
            _allow(self, self.answer_s)


class _PatientTls(_Patient, smtplib.SMTP_SSL):
    """That, over TLS from the first byte."""


def send(
    server: Server, message: EmailMessage, receivers: Sequence[str] = (),
    patience: Patience = Patience(),
) -> tuple[str, ...]:  # fmt: skip
    """Send one mail; return the receivers that the server refused for now (4xx) only.

    Args:
        server: where to.
        message: the whole mail.
        receivers: addresses to send to; those of the header `To` if left out.
        patience: how long the server may take.

    Raises:
        Unanswered: if the server has the whole mail, and does not say whether it keeps it.
        Unavailable: if the server cannot be reached, verified or logged in to.
        MlopsError: if the server refused this one mail, or a receiver for good.
    """
    sender = getaddresses([str(message["From"])])[0][1]
    to = list(receivers) or [spec for _, spec in getaddresses([str(message["To"])]) if spec]
    if not to:
        raise MlopsError(_said(server, "the mail names no receiver; see MLOPS_MAIL_TO"))
    content = message.as_bytes(policy=SMTP_POLICY)
    try:
        refused = _converse(server, sender, to, content, patience)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
        if all(code >= 500 for code, _ in refused.values()):
            raise MlopsError(_said(server, f"no receiver was accepted: {refused}")) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise MlopsError(_said(server, f"refused the mail: {error}")) from None
    except (smtplib.SMTPException, OSError) as error:
        reason = f"{type(error).__name__}: {error}; check MLOPS_MAIL_URL"
        raise Unavailable(_said(server, reason)) from None
    for_good = [receiver for receiver, (code, _) in refused.items() if code >= 500]
    if for_good:
        import structlog

        structlog.get_logger().error("mail refused for good", receivers=for_good)
    return tuple(receiver for receiver in refused if receiver not in for_good)


def greet(server: Server) -> None:
    """Connect, verify and log in, and send nothing.

    Raises:
        Unavailable: if the server cannot be reached, verified or logged in to.
    """
    try:
        connection = _connect(server, Patience())
        with suppress(smtplib.SMTPException, OSError):
            connection.quit()
        connection.close()
    except (smtplib.SMTPException, OSError) as error:
        reason = f"{type(error).__name__}: {error}; check MLOPS_MAIL_URL"
        raise Unavailable(_said(server, reason)) from None


def _converse(
    server: Server, sender: str, to: list[str], content: bytes, patience: Patience
) -> dict[str, tuple[int, bytes]]:
    connection = _connect(server, patience)
    try:
        refused = connection.sendmail(sender, to, content)
        # Accepted is accepted: a failing goodbye must not make the mail go out twice.
        with suppress(smtplib.SMTPException, OSError):
            _allow(connection, patience.step_s)
            connection.quit()
    except smtplib.SMTPServerDisconnected as error:
        if not connection.handed:
            raise
        reason = f"has the whole mail, and did not say whether it keeps it: {error}"
        raise Unanswered(_said(server, reason)) from None
    finally:
        connection.close()
    return refused


def _connect(server: Server, patience: Patience) -> _Patient:
    # getfqdn(), smtplib's default, asks DNS and may hang where there is none.
    name = socket.gethostname()
    helo = name if "." in name else "[127.0.0.1]"
    context = ssl.create_default_context()
    if server.tls == "implicit":
        connection: _Patient = _PatientTls(
            server.host, server.port, local_hostname=helo, timeout=patience.step_s, context=context
        )
    else:
        connection = _Patient(
            server.host, server.port, local_hostname=helo, timeout=patience.step_s
        )
    connection.answer_s = patience.answer_s
    try:
        if server.tls == "starttls":
            connection.starttls(context=context)
        if server.user:
            connection.login(server.user, server.password)
    except BaseException:
        connection.close()
        raise
    return connection


def _allow(connection: smtplib.SMTP, seconds: float) -> None:
    """Let every step from now on take so long."""
    if connection.sock is not None:
        connection.sock.settimeout(seconds)


def _said(server: Server, text: str) -> str:
    """Name the server and what it said, without the credentials it may have echoed."""
    for secret in (server.password, server.user):
        if secret:
            text = text.replace(secret, "***")
    return one_line(f"mail server {server.host}:{server.port}: {text}", 400)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _malformed(problem: str) -> UsageError:
    return UsageError(
        f"MLOPS_MAIL_URL {problem}; write smtp://user:password@host:587 or smtps://…,"
        " special characters of the password percent-encoded"
    )
