"""What a page of another site can do to a server that asks for no token: nothing, by either way."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mlops.errors import UsageError
from mlops.layout import Layout
from mlops.serving.asked import read_head
from mlops.serving.browser import keep_out
from mlops.serving.reply import Refused
from mlops.serving.setup import serving_config
from mlops.settings import Settings
from tests.serving.corpus import refused
from tests.serving.tiny import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.serving.conftest import Running

RAW = {"content-type": "application/octet-stream"}
ONE = images(1).tobytes()
CROSSED = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
REBOUND = {"host": "evil.example:8000", "sec-fetch-site": "same-origin"}


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        (b"localhost", True), (b"LOCALHOST:8000", True), (b"127.0.0.1:8000", True),
        (b"127.1.2.3", True), (b"[::1]", True), (b"[::1]:8000", True), (b"", True),
        (b"models.example", True), (b"Models.Example:443", True),
        (b"evil.example", False), (b"evil.example:8000", False), (b"localhost.evil.example", False),
        (b"127.0.0.1.evil.example", False), (b"evil.models.example", False), (b"10.0.0.1", False),
        (b"0.0.0.0:8000", False), (b"[::1].evil.example", False), (b"::1", False),
        (b"localhost@evil.example", False), (b"evil.example#localhost", False),
        (b"\xff\xfe", False),
    ],
)  # fmt: skip
def test_a_host_is_this_machine_or_the_name_that_it_is_known_by(host: bytes, ours: bool) -> None:
    asked = read_head([(b"host", host)], 0.0)
    with nullcontext() if ours else pytest.raises(Refused, match="not this machine"):
        keep_out(asked, writes=True, known_as="models.example")


def _form(server: Running, **headers: str) -> httpx.Response:
    """Send what any page may: a form with a file."""
    files: Any = {"image": ("a.png", b"no matter", "image/png")}
    return httpx.post(f"{server.url}/predict", files=files, headers=headers)


def test_a_page_of_another_site_writes_nothing(serve: Callable[..., Running]) -> None:
    server = serve()
    for headers, code in ((CROSSED, "cross_site"), (REBOUND, "foreign_host")):
        refused(_form(server, **headers), 403, code)
        for door in ("/predict", "/v2/models/tiny/infer", "/invocations"):
            answer = httpx.post(server.url + door, content=ONE, headers={**RAW, **headers})
            refused(answer, 403, code)
    assert server.write_log() == 0
    known = httpx.post(f"{server.url}/predict", content=ONE, headers=RAW).json()["prediction_id"]
    label = {"prediction_id": known, "label": "one"}
    for headers, code in ((CROSSED, "cross_site"), (REBOUND, "foreign_host")):
        refused(httpx.post(f"{server.url}/feedback", json=label, headers=headers), 403, code)
    assert server.write_log() == 1
    prediction = f"{server.url}/predictions/{known}"
    assert httpx.get(prediction).json().get("label") is None
    refused(httpx.get(prediction, headers=REBOUND), 403, "foreign_host")


def test_links_health_checks_and_the_page_itself_still_work(shared: Running) -> None:
    for path in ("/", "/openapi.json", "/v2"):
        assert httpx.get(shared.url + path, headers=CROSSED).status_code == 200  # a link to it
    for path in ("/ping", "/health", "/v2/health/ready"):
        assert httpx.get(shared.url + path, headers=REBOUND).status_code == 200
    own = {**RAW, "sec-fetch-site": "same-origin", "origin": shared.url}
    assert httpx.post(f"{shared.url}/predict", content=ONE, headers=own).status_code == 200
    host, port = shared.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as old:
        old.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        assert old.recv(4096).startswith(b"HTTP/1.1 200")


def test_behind_a_token_nothing_changes(serve: Callable[..., Running]) -> None:
    server = serve(token="right")
    for headers in (CROSSED, REBOUND):
        told = {**RAW, **headers, "authorization": "Bearer right"}
        answer = httpx.post(f"{server.url}/predict", content=ONE, headers=told)
        assert answer.status_code == 200, answer.text
        assert _form(server, **headers).status_code == 401


def test_the_name_is_that_of_the_address_for_clients(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.params.write_text("project:\n  name: digits\n")

    def known_as(url: str) -> str:
        settings = Settings(serve_url=url)
        return serving_config(layout, settings, host="127.0.0.1", workers=1).known_as

    assert known_as("") == ""
    assert known_as("https://Models.example:8443/a") == "models.example"
    with pytest.raises(UsageError, match="no address of a server"):
        known_as("models.example")
