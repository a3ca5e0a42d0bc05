"""A real SMTP server in the test's own process, with and without TLS and login."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import SMTP as SMTP_POLICY
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from email.message import EmailMessage
    from pathlib import Path


@dataclass
class Post:
    """An SMTP server's handler that keeps what it took.

    Attributes:
        mails: every mail taken, with its receivers.
        logins: every user and password seen.
        answers: receiver → answer to `RCPT TO`; taken if absent.
        data_answer: answer to `DATA`.
        data_wait_s: how long it takes to give that answer, the mail being kept already.
    """

    mails: list[tuple[EmailMessage, list[str]]] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    data_answer: str = "250 OK"
    data_wait_s: float = 0.0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.data_answer.startswith("250"):
            mail = BytesParser(policy=SMTP_POLICY).parsebytes(envelope.content)
            self.mails.append((mail, list(envelope.rcpt_tos)))
        await asyncio.sleep(self.data_wait_s)
        return self.data_answer

    def check(
        self, _server: Any, _session: Any, _envelope: Any, _how: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"s3cret/#", handled=False)


class _FixedPort(Controller):  # type: ignore[misc]  # aiosmtpd has no types
    """Bind, then learn the port: the stock controller wants it beforehand."""

    @property
    def bound_port(self) -> int:
        assert self.server is not None
        return int(self.server.sockets[0].getsockname()[1])

    def _trigger_server(self) -> None:
        self.port = self.bound_port
        super()._trigger_server()


@pytest.fixture
def smtp_server() -> Callable[..., AbstractContextManager[tuple[Post, int]]]:
    """Return a context manager: `with smtp_server(port=0, …) as (post, port)`."""

    @contextmanager
    def run(post: Post | None = None, port: int = 0, **options: Any) -> Iterator[tuple[Post, int]]:
        post = post or Post()
        if options.pop("login", False):
            options |= {"authenticator": post.check, "auth_required": True}
        controller = _FixedPort(post, hostname="127.0.0.1", port=port, **options)
        controller.start()
        try:
            yield post, controller.bound_port
        finally:
            controller.stop()

    return run


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file with a key and a self-signed certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    day = timedelta(days=1)
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """Return the server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
