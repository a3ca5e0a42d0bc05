"""Overload and hung predictions: some answered, the rest turned away, and over when it is over."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mlops.serving import metrics
from mlops.serving.admission import Admission
from mlops.serving.config import Limits
from mlops.serving.model import load
from mlops.serving.pointer import read_pointer
from mlops.serving.reply import Refused
from tests.serving.tiny import images

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mlops.serving.model import Model
    from tests.serving.conftest import Running

BODY = {"inputs": images(1).tolist()}
FAR = float("inf")


def _slow(server: Running, wait: Callable[[int], object]) -> None:
    """Let the model in service wait before it answers, as one does whose layers are many."""
    pointer = read_pointer(server.home)
    assert pointer is not None
    model: Model = load(pointer)
    honest = model.predict

    def predict(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        wait(len(rows))
        return honest(rows)

    model.predict = predict  # type: ignore[method-assign, assignment]
    model.row_s = 0.02
    server.app.batcher.model = model


async def _flood(url: str, requests: int) -> list[tuple[int, float, httpx.Response]]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:

        async def ask() -> tuple[int, float, httpx.Response]:
            started = time.perf_counter()
            reply = await client.post("/invocations", json=BODY)
            return reply.status_code, time.perf_counter() - started, reply

        return list(await asyncio.gather(*(ask() for _ in range(requests))))


def test_what_is_too_much_is_turned_away_and_the_rest_answered(
    serve: Callable[..., Running],
) -> None:
    server = serve(limits=Limits(concurrent=4, requests=16, wait_s=5, deadline_s=10))
    _slow(server, lambda rows: time.sleep(0.02 * rows))
    shed = metrics.SHED.labels("queue")._value.get()
    replies = asyncio.run(_flood(server.url, 120))
    statuses = [status for status, _, _ in replies]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 16
    refused = [reply for status, _, reply in replies if status == 503]
    assert {reply.headers["retry-after"] for reply in refused} == {"1"}
    assert {reply.json()["error"]["code"] for reply in refused} == {"busy"}
    assert metrics.SHED.labels("queue")._value.get() - shed == len(refused)
    started = time.monotonic()
    assert httpx.post(server.url + "/invocations", json=BODY, timeout=10).is_success
    assert time.monotonic() - started < 5


def test_who_would_wait_too_long_hears_so_when_it_comes(serve: Callable[..., Running]) -> None:
    server = serve(limits=Limits(concurrent=1, requests=1000, wait_s=0.2, deadline_s=60))
    _slow(server, lambda rows: time.sleep(0.02 * rows))
    asyncio.run(_flood(server.url, 60))  # from now on the pace is known
    codes = [reply.json()["error"]["code"] for status, _, reply in
             asyncio.run(_flood(server.url, 60)) if status == 503]  # fmt: skip
    assert len(codes) > 10
    assert set(codes) == {"busy"}


def test_a_hung_prediction_keeps_its_deadline_and_nobody_elses_health(
    serve: Callable[..., Running],
) -> None:
    server = serve(limits=Limits(deadline_s=0.3))
    gate = threading.Event()
    _slow(server, lambda _rows: gate.wait(20))
    started = time.monotonic()
    late = httpx.post(server.url + "/invocations", json=BODY, timeout=10)
    assert (late.status_code, late.json()["error"]["code"]) == (503, "deadline")
    assert time.monotonic() - started < 3
    assert httpx.get(server.url + "/health", timeout=1).is_success
    assert server.app.batcher.hung_s() > 0.3
    gate.set()
    end_s = time.monotonic() + 5
    while server.app.batcher.hung_s():
        assert time.monotonic() < end_s
        time.sleep(0.02)
    assert httpx.post(server.url + "/invocations", json=BODY, timeout=10).is_success


def test_a_failing_model_is_an_error_and_no_stack_trace(serve: Callable[..., Running]) -> None:
    server = serve()

    def fail(_rows: int) -> None:
        raise MemoryError("secret")

    _slow(server, fail)
    reply = httpx.post(server.url + "/invocations", json=BODY)
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert httpx.get(server.url + "/health").is_success


async def _order(gate: Admission) -> list[str]:
    passed: list[str] = []

    async def pass_by(name: str, due_s: float = FAR) -> None:
        try:
            await gate.enter(due_s)
        except Refused as refused:
            passed.append(f"{name} {refused.code}")
            return
        passed.append(name)
        await asyncio.sleep(0.01)
        gate.leave()

    tasks = [asyncio.create_task(pass_by(n)) for n in ("a", "b", "given up", "c")]
    tasks.append(asyncio.create_task(pass_by("late", time.perf_counter())))
    tasks.append(asyncio.create_task(pass_by("too many")))
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await pass_by("after")
    return passed


def test_the_gate_lets_in_by_turns() -> None:
    gate = Admission(Limits(concurrent=1, requests=4, wait_s=FAR))
    assert asyncio.run(_order(gate)) == ["a", "too many busy", "b", "c", "late deadline", "after"]


@pytest.mark.parametrize("idle_s", [0.0, 60.0, 1e6])
def test_idle_time_is_no_pace(idle_s: float) -> None:
    clock_s = [idle_s]

    async def run() -> bool:
        gate = Admission(Limits(concurrent=2, requests=100, wait_s=0.5), lambda: clock_s[0])
        for begin_s in (idle_s, 2 * idle_s + 1):  # just started, and again after a pause
            clock_s[0] = begin_s
            assert gate.take()
            assert gate.take()
            tasks = [asyncio.create_task(gate.enter(FAR)) for _ in range(40)]
            await asyncio.sleep(0)
            for n in range(41):  # one place every 2 ms: 40 wait for 80 ms
                clock_s[0] = begin_s + 0.002 * (n + 1)
                gate.leave()
                if gate.full():
                    return False
            gate.leave()
            await asyncio.gather(*tasks)
        return True

    assert asyncio.run(run())


def test_a_slow_pace_is_learned_all_the_same() -> None:
    clock_s = [1e6]

    async def run() -> list[bool]:
        gate = Admission(Limits(concurrent=1, requests=100, wait_s=0.5), lambda: clock_s[0])
        assert gate.take()
        tasks = [asyncio.create_task(gate.enter(FAR)) for _ in range(90)]
        await asyncio.sleep(0)
        seen = []
        for _ in range(40):  # half a second for each: 50 wait for 25 s
            clock_s[0] += 0.5
            gate.leave()
            seen.append(gate.full())
        for task in tasks:
            task.cancel()
        return seen

    assert asyncio.run(run())[-1]


def test_a_worker_that_has_just_started_refuses_nothing_of_a_burst(
    serve: Callable[..., Running],
) -> None:
    server = serve(limits=Limits(concurrent=4, requests=100, wait_s=2, deadline_s=10))
    held = threading.Event()
    _slow(server, lambda _rows: held.wait(10))
    asked: list[int] = []

    def burst(requests: int) -> None:
        asked.extend(status for status, _, _ in asyncio.run(_flood(server.url, requests)))

    first, second = (threading.Thread(target=burst, args=(n,)) for n in (20, 20))
    first.start()
    end_s = time.monotonic() + 10
    while len(server.app.admission._waiting) < 16:
        assert time.monotonic() < end_s
        time.sleep(0.005)
    _slow(server, lambda rows: time.sleep(0.005 * rows))  # from the second batch on
    held.set()
    second.start()
    first.join()
    second.join()
    assert asked == [200] * 40


@pytest.mark.parametrize(
    ("message", "taken"),
    [
        ({"type": "http.request", "body": b"x", "more_body": True}, False),
        ({"type": "http.request", "body": b"x"}, True),
        ({"type": "http.disconnect"}, False),
    ],
)
def test_only_a_whole_body_takes_a_place(message: dict[str, Any], taken: bool) -> None:
    async def receive() -> dict[str, Any]:
        return message

    async def run() -> int:
        gate = Admission(Limits())
        ticket = gate.ticket(receive, FAR)
        assert await ticket() == message
        inside = gate._inside
        ticket.close()
        ticket.close()
        assert gate._inside == 0
        return inside

    assert asyncio.run(run()) == taken
