"""The corpus of bad bodies at every door, and what only a picture, a path or time can do wrong."""

from __future__ import annotations

import io
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.serving.corpus import CORPUS, INFER, PLACED, refused, send
from tests.serving.tiny import images

if TYPE_CHECKING:
    import httpx

    from tests.serving.conftest import Running

DOORS = ("/invocations", "/predict", "/feedback", INFER)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", CORPUS)
def test_every_door_refuses_it_by_name(door: str, name: str, client: httpx.Client) -> None:
    send(client, door, name)


@pytest.mark.parametrize("name", PLACED)
def test_one_door_refuses_it_by_name(name: str, client: httpx.Client) -> None:
    door, body, headers, status, code = PLACED[name]
    refused(client.post(door, content=body, headers=headers), status, code)


def _encoded(pixels: Any, kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **({"method": 0} if kind == "WEBP" else {}))
    return out.getvalue()


KINDS = ("PNG", "JPEG", "WEBP")
NOISE = images(1, shape=(64, 64, 1))[0, ..., 0]


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [False, True])
def test_half_a_picture_is_none(kind: str, share: float, form: bool, client: httpx.Client) -> None:
    whole = _encoded(NOISE, kind)
    _picture(client, whole[: int(share * len(whole))], kind, form=form, status=422)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [False, True])
def test_a_bomb_is_not_unpacked(kind: str, form: bool, client: httpx.Client) -> None:
    """17 megapixels in some kilobytes are refused by what the head says of their size."""
    _picture(client, _bomb(kind), kind, form=form, status=413)


@cache
def _bomb(kind: str) -> bytes:
    side = {"PNG": (1, 17_000_000), "JPEG": (300, 60_000), "WEBP": (1100, 16_000)}[kind]
    return _encoded(np.zeros(side, np.uint8), kind)


def _picture(client: httpx.Client, content: bytes, kind: str, *, form: bool, status: int) -> None:
    named = f"image/{kind.lower()}"
    sent: dict[str, Any] = {"content": content, "headers": {"content-type": named}}
    if form:
        sent = {"files": {"image": ("a", content, named)}}
    code = {413: "too_many_pixels", 422: "invalid_input"}[status]
    refused(client.post("/predict", **sent), status, code)


PATHS = (
    "/..%2f..%2fetc%2fpasswd", "/predictions/..%2f..%2fetc%2fpasswd",
    "/predictions/%2e%2e%5c%2e%2e",
    "/v2/models/..%2f..%2fetc", "/v2/models/tiny/versions/..%2f..%2fetc", "/v2/models/%00",
    "/%252e%252e/etc/passwd", "//etc/passwd", "/assets/..%2f..%2fpage.py",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_elsewhere(path: str, client: httpx.Client) -> None:
    reply = client.get(path)
    refused(reply, 404, reply.json()["error_code"])


def _dripping(server: Running, door: str) -> tuple[bytes, float]:
    """Send a byte of the body every tenth of a second until there is an answer."""
    host, port = server.url.removeprefix("http://").split(":")
    head = (
        f"POST {door} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 999\r\n\r\n{"
    )
    started = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=0.1) as slow:
        slow.sendall(head.encode())
        while time.monotonic() - started < 5:
            try:
                return slow.recv(4096), time.monotonic() - started
            except TimeoutError:
                slow.sendall(b" ")
    return b"", 5.0


def test_a_body_that_drips_is_given_up_at_every_door(shared: Running) -> None:
    """It never pauses for long; what counts is the whole."""
    with ThreadPoolExecutor(len(DOORS)) as pool:
        answers = list(pool.map(lambda door: _dripping(shared, door), DOORS))
    for answer, took_s in answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408"), answer
        assert b"connection: close" in head
        assert json.loads(body)["error_code"] == "slow_body"
        assert 0.4 < took_s < 3
