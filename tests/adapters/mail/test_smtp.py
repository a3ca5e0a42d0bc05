from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from mlops.adapters.mail.compose import compose
from mlops.adapters.mail.sample import sample
from mlops.adapters.mail.smtp import Patience, Server, parse, send
from mlops.errors import MlopsError, Unavailable, UsageError

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage
    from pathlib import Path

SECRET = "s3cret/#"
LOGIN = "ann:s3cret%2F%23@"

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not:UserWarning")


@pytest.fixture
def mail() -> EmailMessage:
    return compose(sample("detected", 0.0), "mlops@example.org", ["a@example.org", "b@example.org"])


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://127.0.0.1", Server("127.0.0.1", 25, "none")),
        ("smtp://localhost:1025/", Server("localhost", 1025, "none")),
        ("smtp://[::1]:1025", Server("::1", 1025, "none")),
        ("smtp://mail.example.org", Server("mail.example.org", 587, "starttls")),
        ("smtp://mail:1025?starttls=never", Server("mail", 1025, "none")),
        (f"smtp://{LOGIN}localhost", Server("localhost", 587, "starttls", "ann", SECRET)),
        (f"smtps://{LOGIN}h:1465", Server("h", 1465, "implicit", "ann", SECRET)),
        ("smtps://h", Server("h", 465, "implicit")),
    ],
)
def test_parse(url: str, server: Server) -> None:
    assert parse(url) == server
    assert SECRET not in repr(parse(url))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mail.example.org:587", "does not start with smtp://"),
        ("http://h", "does not start with smtp://"),
        ("smtp://", "is not scheme, host and port alone"),
        ("smtp://ann:s3cret/x@h:25", "no valid host, port or query"),
        ("smtp://ann:s3cret#x@h:25", "no valid host, port or query"),
        ("smtp://h/s3cret", "is not scheme, host and port alone"),
        ("smtp://h:99999", "no valid host, port or query"),
        ("smtp://h:0", "is not scheme, host and port alone"),
        ("smtp://[::1", "no valid host, port or query"),
        ("smtp://ann@h", "a user without a password"),
        ("smtp://:s3cret@h", "a user without a password"),
        ("smtp://ann:s3cret%0D%0A@h", "a character that cannot stand there"),
        ("smtp://h h", "a character that cannot stand there"),
        ("smtp://h?verify=no", "a query other than"),
        ("smtp://h?s3cret", "no valid host, port or query"),
        ("smtps://h?starttls=never", "a query other than"),
        ("smtp://ann:s3cret@h?starttls=never", "without encryption"),
    ],
)
def test_a_malformed_url_is_explained_without_repeating_it(url: str, problem: str) -> None:
    with pytest.raises(UsageError, match="MLOPS_MAIL_URL") as caught:
        parse(url)
    assert problem in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "percent-encoded" in str(caught.value)


def test_plain_smtp_on_this_machine(mail: EmailMessage, smtp_server: Any) -> None:
    with smtp_server() as (post, port):
        assert send(parse(f"smtp://127.0.0.1:{port}"), mail) == ()
    [(taken, receivers)] = post.mails
    assert receivers == ["a@example.org", "b@example.org"]
    assert taken["Message-ID"] == mail["Message-ID"]
    html, sent = taken.get_body(("html",)), mail.get_body(("html",))
    assert html is not None
    assert sent is not None
    assert html.get_content().splitlines() == sent.get_content().splitlines()


def test_credentials_go_through_verified_starttls_only(
    mail: EmailMessage, smtp_server: Any, tls: ssl.SSLContext, certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with smtp_server(tls_context=tls, require_starttls=True, login=True) as (post, port):
        server = parse(f"smtp://{LOGIN}127.0.0.1:{port}")
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            send(server, mail)  # nobody vouches for the certificate
        assert post.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        send(server, mail)
    assert post.logins == [(b"ann", SECRET.encode())]
    assert len(post.mails) == 1


def test_a_server_without_starttls_gets_no_credentials_and_no_mail(
    mail: EmailMessage, smtp_server: Any
) -> None:
    with (
        smtp_server(login=True, auth_require_tls=False) as (post, port),
        pytest.raises(Unavailable, match="STARTTLS extension not supported") as caught,
    ):
        send(parse(f"smtp://{LOGIN}127.0.0.1:{port}"), mail)
    assert post.logins == []
    assert post.mails == []
    assert "s3cret" not in str(caught.value)


def test_implicit_tls(
    mail: EmailMessage, smtp_server: Any, tls: ssl.SSLContext, certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    options = {"ssl_context": tls, "login": True, "auth_require_tls": False}
    with smtp_server(**options) as (post, port):
        send(parse(f"smtps://{LOGIN}127.0.0.1:{port}"), mail)
    assert post.logins == [(b"ann", SECRET.encode())]
    assert len(post.mails) == 1


def test_a_wrong_password_is_not_repeated(
    mail: EmailMessage, smtp_server: Any, tls: ssl.SSLContext, certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with smtp_server(tls_context=tls, require_starttls=True, login=True) as (post, port):
        server = Server("127.0.0.1", port, "starttls", "ann", "wr0ng")
        with pytest.raises(Unavailable, match=r"SMTPAuthenticationError.*MLOPS_MAIL_URL") as caught:
            send(server, mail)
    assert post.logins
    assert "wr0ng" not in str(caught.value)
    assert post.mails == []


@pytest.mark.parametrize(
    ("answers", "later", "took"),
    [
        ({"a@example.org": "450 greylisted"}, ("a@example.org",), ["b@example.org"]),
        ({"a@example.org": "550 no such box"}, (), ["b@example.org"]),
        (
            {"a@example.org": "450 later", "b@example.org": "550 never"},
            ("a@example.org",),
            None,
        ),
    ],
)
def test_receivers_are_answered_for_one_by_one(
    mail: EmailMessage, smtp_server: Any, answers: dict[str, str], later: tuple[str, ...],
    took: list[str] | None,
) -> None:  # fmt: skip
    with smtp_server() as (post, port):
        post.answers |= answers
        assert send(parse(f"smtp://127.0.0.1:{port}"), mail) == later
        assert [receivers for _, receivers in post.mails] == ([took] if took else [])
        post.answers.clear()
        send(parse(f"smtp://127.0.0.1:{port}"), mail, ["a@example.org"])
    assert post.mails[-1][1] == ["a@example.org"]


def test_a_refused_mail_is_its_own_fault_a_dead_server_is_not(
    mail: EmailMessage, smtp_server: Any
) -> None:
    with smtp_server() as (post, port):
        post.data_answer = "554 too ugly"
        with pytest.raises(MlopsError, match="too ugly") as refused:
            send(parse(f"smtp://127.0.0.1:{port}"), mail)
        post.answers = dict.fromkeys(("a@example.org", "b@example.org"), "550 no")
        with pytest.raises(MlopsError, match="no receiver was accepted") as nobody:
            send(parse(f"smtp://127.0.0.1:{port}"), mail)
    assert type(refused.value) is type(nobody.value) is MlopsError
    with pytest.raises(Unavailable, match=rf"mail server 127.0.0.1:{port}: ConnectionRefused"):
        send(parse(f"smtp://127.0.0.1:{port}"), mail)


def test_a_server_that_says_nothing_is_given_up_on(mail: EmailMessage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unavailable, match="timed out"):
            send(parse(f"smtp://127.0.0.1:{port}"), mail, patience=Patience(step_s=0.2))
