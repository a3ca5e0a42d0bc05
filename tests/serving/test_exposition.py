"""`/metrics` on an address of other machines shows nothing without a token."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops.errors import UsageError
from mlops.serving import exposition
from mlops.serving.exposition import serve_metrics
from mlops.serving.tokens import Guard, Token, digest
from tests.serving.certificates import certify

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_is_asked_for_and_a_new_one_is_known_at_once(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    port = serve_metrics(tmp_path, "127.0.0.1", 0, Guard(tokens, "first", closed=True))
    url = f"http://127.0.0.1:{port}/metrics"

    def ask(token: str = "") -> int:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.get(url, headers=headers).status_code

    assert ask() == 401
    assert ask("wrong") == 401
    assert ask("first") == 200
    assert ask("later") == 401
    tokens.write_text(Token("grafana", digest("later")).line() + "\n")
    assert ask("later") == 200
    tokens.write_text("no line of ours\n")
    assert ask("first") == 503


def test_on_this_machine_anybody_may_ask(tmp_path: Path) -> None:
    port = serve_metrics(tmp_path, "127.0.0.1", 0, None)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    with pytest.raises(UsageError, match=f"MLOPS_METRICS_PORT={port} on 127.0.0.1"):
        serve_metrics(tmp_path, "127.0.0.1", port, None)


def test_it_speaks_tls_and_a_client_that_says_nothing_holds_up_nobody(tmp_path: Path) -> None:
    files = certify(tmp_path, 1)
    port = serve_metrics(tmp_path, "127.0.0.1", 0, None, files)
    with socket.create_connection(("127.0.0.1", port)):
        trusted = ssl.create_default_context(cafile=files[0])
        answer = httpx.get(f"https://localhost:{port}/metrics", verify=trusted)
    assert answer.status_code == 200


def test_more_clients_than_threads_are_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exposition, "_AT_ONCE", 2)
    monkeypatch.setattr(exposition, "_DEADLINE_S", 1.0)
    port = serve_metrics(tmp_path, "127.0.0.1", 0, None)
    url = f"http://127.0.0.1:{port}/metrics"
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.3)
        with pytest.raises(httpx.HTTPError):
            httpx.get(url)
        time.sleep(1.5)  # whoever says nothing is ended
        assert httpx.get(url).status_code == 200
    assert capfd.readouterr().err == ""
