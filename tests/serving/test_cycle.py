"""What leaves on a connection, and when it is closed: plain sockets and a real server."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from mlops.serving.protocol import Protocol
from mlops.serving.supervisor import bind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.serving.conftest import Running

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def _connected(
    application: Callable[[Any, Receive, Send], Awaitable[None]], patience_s: float = 5
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(application, http=Protocol, lifespan="off", ws="none", log_config=None)
    config.timeout_keep_alive = patience_s  # type: ignore[assignment]
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    yield reader, writer
    writer.close()
    server.should_exit = True
    await serving


async def _sent(asked: bytes, *answers: dict[str, Any]) -> bytes:
    """Return all that comes back from an application that sends these messages."""

    async def application(_scope: Any, _receive: Receive, send: Send) -> None:
        for message in answers:
            await send(message)

    async with _connected(application) as (reader, writer):
        writer.write(asked)
        await asyncio.sleep(0.05)  # the server's answers wait for their reader
        return await asyncio.wait_for(reader.read(), 5)


def _head(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": [*headers]}


BODY = {"type": "http.response.body", "body": b"abc"}
LENGTH = (b"content-length", b"3")


def test_requests_sent_at_once_are_answered_one_after_the_other() -> None:
    found = asyncio.run(_sent(PING + LAST, _head(LENGTH), BODY))
    one = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n"
    assert found == one + b"\r\nabc" + one + b"connection: close\r\n\r\nabc"


def test_who_does_not_keep_the_connection_gets_it_closed() -> None:
    old = PING.replace(b"1.1", b"1.0")
    assert b"connection: close\r\n\r\nabc" in asyncio.run(_sent(old, _head(LENGTH), BODY))
    closing = _head(LENGTH, (b"connection", b"close"))
    found = asyncio.run(_sent(PING, closing, BODY))
    assert found.count(b"connection: close") == 1


def test_the_head_alone_is_answered_without_a_body() -> None:
    found = asyncio.run(_sent(LAST.replace(b"GET", b"HEAD"), _head(LENGTH), BODY))
    assert found.endswith(b"content-length: 3\r\nconnection: close\r\n\r\n")


def test_large_answers_wait_for_a_slow_reader() -> None:
    body = {**BODY, "body": bytes(16 << 20)}
    head = _head((b"content-length", b"%d" % (16 << 20)))
    found = asyncio.run(_sent(PING + LAST, head, body))
    assert found.count(b"HTTP/1.1 200 OK") == 2
    assert found.count(b"\0") == 32 << 20


def test_an_application_is_told_that_nobody_listens_any_more() -> None:
    told: list[str] = []

    async def play() -> None:
        gone = asyncio.Event()

        async def application(_scope: Any, receive: Receive, send: Send) -> None:
            told.append((await receive())["type"])
            await asyncio.wait_for(gone.wait(), 5)
            told.append((await receive())["type"])
            for message in (_head(LENGTH), BODY):
                await send(message)
            told.append("sent nothing")

        async with _connected(application) as (_, writer):
            writer.write(PING)
            await asyncio.sleep(0.05)
            writer.close()
            await asyncio.sleep(0.05)
            gone.set()
            await asyncio.sleep(0.05)

    asyncio.run(play())
    assert told == ["http.request", "http.disconnect", "sent nothing"]


def test_what_would_split_an_answer_is_not_sent() -> None:
    for value in (b"a\r\nx: b", b"a\nb", b"a\rb"):
        found = asyncio.run(_sent(PING, _head(LENGTH, (b"x", value)), BODY))
        assert found.startswith(b"HTTP/1.1 500 ") or not found
    assert not asyncio.run(_sent(PING, _head(LENGTH), {**BODY, "more_body": True}))


def test_a_body_that_was_announced_is_asked_for(shared: Running) -> None:
    host, port = shared.url.removeprefix("http://").split(":")

    async def play() -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 17\r\nExpect: 100-continue\r\n\r\n"
        )
        told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.write(b'{"inputs": [[1]]}')
        found = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        return told, found

    told, found = asyncio.run(play())
    assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert found.startswith(b"HTTP/1.1 422 ")


def test_a_connection_is_closed_when_nobody_has_asked_for_long() -> None:
    patience_s = 0.3

    async def application(scope: Any, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(1.5 * patience_s)
        await send(_head(LENGTH))
        await send(BODY)

    async def play() -> float:
        async with _connected(application, patience_s) as (reader, writer):
            for path in (b"/", b"/", b"/slow", b"/"):  # together longer than the patience
                writer.write(PING.replace(b"/ping", path))
                assert (await reader.readuntil(b"\r\n\r\nabc")).startswith(b"HTTP/1.1 200")
                await asyncio.sleep(0.5 * patience_s)
            began = time.perf_counter()
            await asyncio.wait_for(reader.read(), 5)
            return time.perf_counter() - began

    assert asyncio.run(play()) > 0.2 * patience_s
