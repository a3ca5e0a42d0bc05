"""The load generator: it measures what a user would have waited, and leaves nothing out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks import open_loop as module
from benchmarks import serving_load
from benchmarks.open_loop import closed_loop, open_loop
from benchmarks.serving_client import Ask
from benchmarks.serving_steady import errors, offered, p99_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.open_loop import Answer

ASK = Ask("/invocations", "application/json", b"{}")
HEADERS = b"content-length: 2\r\nx-model-version: 7\r\nx-prediction-id: a"
REPLY = b"HTTP/1.1 200 OK\r\n" + HEADERS + b"\r\n\r\n{}"
Each = Callable[[int], Awaitable[bool]]
"""Whether a request, by its number, is answered."""


@asynccontextmanager
async def _server(each: Each) -> AsyncIterator[int]:
    """Answer every request for which `each`, given its number, returns true; hang up else."""
    seen = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            seen[0] += 1
            if not await each(seen[0]):
                break
            writer.write(REPLY)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _asked(each: Each, rate: float, seconds: float) -> list[Answer]:
    async with _server(each) as port:
        return await open_loop(port, ASK, rate, seconds)


def test_a_pause_costs_everybody_who_was_due_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that waits with its next question until the last is answered would see one."""
    monkeypatch.setattr(module, "_MOST_CONNECTIONS", 16)
    paused = asyncio.Event()

    async def each(number: int) -> bool:
        if number == 20:
            await asyncio.sleep(0.5)
            paused.set()
        elif number > 20:
            await paused.wait()
        return True

    answers = asyncio.run(_asked(each, 200, 0.5))
    assert (len(answers), errors(answers)) == (100, 0)
    assert {(a.version, a.ids) for a in answers} == {("7", ("a",))}
    late = sum(a.latency_s > 0.1 for a in answers)
    assert 60 < late < 95
    assert 400 < p99_ms(answers) < 900
    assert offered(answers) < 0.5  # more than 16 at a time were due


def test_what_is_never_answered_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GRACE_S", 0.2)

    async def each(number: int) -> bool:
        if number % 5 == 0:
            await asyncio.sleep(60)
        return number % 5 != 1

    answers = asyncio.run(_asked(each, 100, 0.3))
    assert len(answers) == 30
    assert errors(answers) == 12  # of five one is kept waiting, one hung up on
    assert offered(answers) == 1.0


def test_a_closed_loop_counts_what_was_answered() -> None:
    async def each(_number: int) -> bool:
        return True

    async def asked() -> list[Answer]:
        async with _server(each) as port:
            return await closed_loop(port, ASK, 0.2)

    answers = asyncio.run(asked())
    assert len(answers) > 64
    assert errors(answers) == 0


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], {"start": 0, "steady": 600, "swaps": 30, "overload": 10, "soak": 3600}),
        (["20"], dict.fromkeys(serving_load.PARTS, 20)),
        (["soak=60", "swaps"], {"soak": 60, "swaps": 30}),
        (["5", "soak=60", "steady"], {"soak": 60, "steady": 5}),
    ],
)
def test_every_part_takes_as_long_as_one_says(words: list[str], parts: dict[str, float]) -> None:
    assert serving_load.chosen(words) == parts


@pytest.mark.parametrize("word", ["soaks", "soak=long", "=3"])
def test_a_word_that_is_neither_is_refused(word: str) -> None:
    with pytest.raises(SystemExit, match="is no part"):
        serving_load.chosen([word])


def test_a_limit_that_does_not_hold_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"fine": {"one": True}, "bad": {"two": True, "three": False}}
    monkeypatch.setattr(
        serving_load, "PARTS", {name: (lambda *_, h=held: h, 1.0) for name, held in parts.items()}
    )
    assert serving_load.main(["fine"]) == 0
    assert serving_load.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "limits BROKEN: three"
