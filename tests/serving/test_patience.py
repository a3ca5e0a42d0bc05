from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest
import uvloop

from mlops.serving.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable


async def wait(patience: Patience, event: asyncio.Event) -> str:
    try:
        with patience.reading():
            await event.wait()
    except TimeoutError:
        return "given up"
    return "came"


def test_who_is_late_is_given_up_in_turn_and_who_is_not_goes_on() -> None:
    async def play() -> None:
        patience = Patience(0.1)
        never, now = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(wait(patience, never))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(wait(patience, now))
        third = asyncio.create_task(wait(patience, never))
        assert await first == "given up"
        assert not second.done()
        assert not third.done()
        now.set()
        assert await second == "came"
        assert await third == "given up"
        assert await wait(patience, now) == "came"  # and again, when no timer runs any more

    asyncio.run(play())


def test_a_task_that_somebody_else_cancels_is_cancelled() -> None:
    async def play() -> None:
        task = asyncio.create_task(wait(Patience(10.0), asyncio.Event()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())


def test_bodies_are_awaited_in_a_task_only() -> None:
    async def play() -> None:
        patience, failed = Patience(1.0), asyncio.Event()

        def outside() -> None:
            with pytest.raises(RuntimeError, match="in a task"), patience.reading():
                pass
            failed.set()

        asyncio.get_running_loop().call_soon(outside)
        await failed.wait()

    asyncio.run(play())


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_came_while_the_worker_was_held_up_came(
    make: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Its timers are due before it has read what lies there: that is not the client's fault."""

    async def play() -> None:
        patience, here, never = Patience(0.2), asyncio.Event(), asyncio.Event()
        near, far = socket.socketpair()
        near.setblocking(False)
        asyncio.get_running_loop().add_reader(near, here.set)
        waiting = asyncio.create_task(wait(patience, here))
        idle = asyncio.create_task(wait(patience, never))
        await asyncio.sleep(0.05)
        far.send(b"whole")
        time.sleep(0.4)  # noqa: ASYNC251 - the worker is held up
        assert await waiting == "came"
        assert await asyncio.wait_for(idle, 5.0) == "given up"
        asyncio.get_running_loop().remove_reader(near)
        near.close()
        far.close()

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(play())
