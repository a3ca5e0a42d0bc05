"""Tokens: deny by default, several at a time, hashed, renewed without a restart, and rated; TLS."""

from __future__ import annotations

import re
import ssl
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops.cli import token as verbs
from mlops.errors import Unknown, UsageError
from mlops.layout import Layout
from mlops.serving.asked import Asked, read_head
from mlops.serving.reply import Refused
from mlops.serving.routes import ROUTES
from mlops.serving.setup import serving_config
from mlops.serving.tokens import Guard, Token, digest, read_tokens
from mlops.settings import Settings
from tests.serving.certificates import certify
from tests.serving.tiny import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.serving.conftest import Running

BODY = {"inputs": images(1).tolist()}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _asked(token: str) -> Asked:
    return read_head([(b"authorization", f"Bearer {token}".encode())], 0.0)


_OPEN = {route.name for route in ROUTES if route.open}


def _routes() -> list[str]:
    known = [re.sub(r"\{\w+\}", "x", route.name) for route in ROUTES]
    return [*known, "/metrics", "/unknown", "/health/", "/ping/../predict", "//ping", "/PING"]


def test_every_route_but_the_exact_exemptions_is_closed(serve: Callable[..., Running]) -> None:
    server = serve(closed=True)
    with httpx.Client(base_url=server.url) as client:
        for route in _routes():
            for method in ("GET", "POST", "HEAD", "PUT", "OPTIONS"):
                request = client.build_request(method, server.url)
                request.url = httpx.URL(server.url).copy_with(raw_path=route.encode())
                status = client.send(request).status_code
                assert (status != 401) == (route in _OPEN), (method, route)


def test_tokens_come_and_go_without_a_restart(
    serve: Callable[..., Running], tmp_path: Path
) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# people\nalice {digest('a')}\n")
    server = serve(tokens=str(path))

    def statuses() -> list[int]:
        return [
            httpx.post(server.url + "/invocations", json=BODY, headers=_bearer(t)).status_code
            for t in ("a", "b", "none")
        ]

    def becomes(wanted: list[int]) -> None:
        end_s = time.monotonic() + 5
        while statuses() != wanted:
            assert time.monotonic() < end_s, (statuses(), wanted)
            time.sleep(0.02)

    becomes([200, 401, 401])
    path.write_text(f"alice {digest('a')}\nbob {digest('b')} 1000\n")
    becomes([200, 200, 401])
    path.write_text("bob is nobody any more\n")  # unreadable: nothing changes
    time.sleep(0.2)
    assert statuses() == [200, 200, 401]
    path.unlink()
    becomes([401, 401, 401])  # whoever takes the last token away wants nobody in


def test_rates_are_each_tokens_own(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"slow {digest('s')} 2\nfree {digest('f')}\n")
    now = [0.0]
    guard = Guard(path, "fixed", rate=4.0, share=0.5, clock=lambda: now[0])

    refused: list[tuple[int, str, int | None]] = []

    def admitted(token: str) -> int:
        for count in range(100):
            try:
                guard.admit(_asked(token))
            except Refused as error:
                refused.append((error.status, error.code, error.retry_s))
                return count
        return 100

    assert [admitted(t) for t in ("s", "f", "fixed")] == [1, 4, 4]
    now[0] += 1.0
    assert [admitted(t) for t in ("s", "f")] == [1, 4]
    assert set(refused) == {(429, "rate", 1)}
    asked = _asked("s")
    now[0] += 1.0
    guard.admit(asked)
    assert asked.token == "slow"


@pytest.mark.parametrize(
    "header", [b"", b"Basic YTpi", b"Bearer", b"Bearer ", b"Bearer wrong", b"bearer  wrong", b"s"]
)
def test_what_is_no_token_is_refused(header: bytes) -> None:
    guard = Guard(None, "right")
    with pytest.raises(Refused) as refused:
        guard.admit(read_head([(b"authorization", header)], 0.0))
    assert refused.value.status == 401
    guard.admit(read_head([(b"authorization", b"BEARER right")], 0.0))


@pytest.mark.parametrize(
    "text", ["alice", "alice abc", f"alice {'0' * 64} fast", f"al/ice {'0' * 64}",
             f"alice {'0' * 64} -1", f"a {'0' * 64}\na {'1' * 64}", f"a {'0' * 64} 1 2"]
)  # fmt: skip
def test_a_wrong_file_is_named_by_line_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"tokens:\d: wants NAME SHA256") as error:
        read_tokens(path)
    assert "0000" not in str(error.value)


def test_the_verbs_keep_hashes_only(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    path = Layout(root).tokens
    verbs.add("alice")
    first = capsys.readouterr().out.strip()
    verbs.add("bob", rate=5)
    verbs.add("alice")
    second = capsys.readouterr().out.split()[1]
    assert read_tokens(path) == (Token("bob", read_tokens(path)[0].digest, 5.0),
                                 Token("alice", digest(second)))  # fmt: skip
    assert path.stat().st_mode & 0o077 == 0
    assert not any(secret in path.read_text() for secret in (first, second))
    verbs.remove("bob")
    verbs.show()
    assert capsys.readouterr().out == "alice\n"
    with pytest.raises(Unknown, match="no token named"):
        verbs.remove("bob")
    with pytest.raises(UsageError, match="letters"):
        verbs.add("a b")
    with pytest.raises(UsageError, match="above 0"):
        verbs.add("c", rate=-1)


def test_beyond_this_machine_a_token_is_needed(root: Path) -> None:
    layout = Layout(root)
    with pytest.raises(UsageError, match="mlops token add"):
        serving_config(layout, Settings(), host="0.0.0.0", workers=1)
    layout.state.mkdir()
    layout.tokens.write_text(f"alice {digest('a')}\n")
    told = serving_config(layout, Settings(rate_limit=8), host="0.0.0.0", workers=4)
    assert told.closed
    assert (told.rate, told.share) == (2.0, 0.25)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tls_cert": "a.pem"}, "MLOPS_TLS_KEY is empty"),
        ({"tls_cert": "a.pem", "tls_key": "b.pem"}, "a.pem"),
        ({"redact": "entity,column: "}, "column: names no column"),
    ],
)
def test_wrong_settings_end_the_start(root: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        serving_config(Layout(root), Settings(**changes), host="127.0.0.1", workers=1)  # type: ignore[arg-type]


def test_tls_by_files_which_may_be_renewed(serve: Callable[..., Running], tmp_path: Path) -> None:
    pair = certify(tmp_path, 1001)
    server = serve(tls=pair)
    port = int(server.url.rsplit(":", 1)[1])
    secure = httpx.post(f"https://localhost:{port}/invocations", json=BODY,
                        verify=ssl.create_default_context(cafile=pair[0]))  # fmt: skip
    assert secure.is_success
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url + "/ping")
    before = ssl.get_server_certificate(("127.0.0.1", port))
    time.sleep(0.1)
    certify(tmp_path, 1002)
    end_s = time.monotonic() + 5
    while ssl.get_server_certificate(("127.0.0.1", port)) == before:
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_a_request_keeps_its_id(serve: Callable[..., Running]) -> None:
    server = serve()
    given = {"X-Request-ID": "abc-1.2:3"}
    assert httpx.get(server.url + "/ping", headers=given).headers["x-request-id"] == "abc-1.2:3"
    odd = [httpx.get(server.url + "/ping", headers={"X-Request-ID": i}).headers["x-request-id"]
           for i in ("a b", "x" * 65, "")]  # fmt: skip
    assert len({*odd, "a b", "x" * 65, ""}) == 6


def test_the_access_log_has_the_request_and_not_the_token(
    serve: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(token="canary-secret", access_log=True)
    headers = {**_bearer("canary-secret"), "X-Request-ID": "seen-1"}
    httpx.post(server.url + "/invocations", json=BODY, headers=headers)
    said = "".join(capsys.readouterr())
    assert "seen-1" in said
    assert "/invocations" in said
    assert "canary-secret" not in said
