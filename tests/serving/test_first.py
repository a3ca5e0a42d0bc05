"""The first model is waited for by few, at the cost of one look, and the rest hears at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops.serving import metrics
from mlops.serving.beat import READY
from mlops.serving.config import Limits, ServingConfig
from mlops.serving.first import FirstModel
from mlops.serving.foreign.worker import build
from mlops.serving.model import load
from mlops.serving.pointer import read_pointer
from mlops.serving.reply import Refused
from tests.serving.tiny import images, make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.serving.conftest import Running

BODY = {"inputs": images(1).tolist()}
FAR = float("inf")


def test_as_many_wait_as_may_and_the_rest_is_turned_away_meanwhile(
    serve: Callable[..., Running],
) -> None:
    server = serve(version=None, limits=Limits(requests=16, deadline_s=30))
    make_version(server.home.parent / "ready", "1")
    point(server.home.parent / "ready", "1")
    pointer = read_pointer(server.home.parent / "ready")
    assert pointer is not None
    model, looks, shed = load(pointer), 0, metrics.SHED.labels("queue")._value.get()

    def coming() -> bool:
        nonlocal looks
        looks += 1
        return True

    server.app.coming = coming
    began_s = time.monotonic()

    async def flood() -> list[httpx.Response]:
        connections = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=connections) as client:
            asked = [asyncio.create_task(client.post("/invocations", json=BODY)) for _ in range(80)]
            while sum(task.done() for task in asked) < 64:
                await asyncio.sleep(0.01)
                assert time.monotonic() - began_s < 20
            refused = [task.result() for task in asked if task.done()]
            assert {reply.json()["error"]["code"] for reply in refused} == {"busy"}
            assert {reply.headers["retry-after"] for reply in refused} == {"1"}
            server.app.batcher.model = model
            return await asyncio.gather(*asked)

    statuses = [reply.status_code for reply in asyncio.run(flood())]
    assert (statuses.count(200), statuses.count(503)) == (16, 64)
    assert metrics.SHED.labels("queue")._value.get() - shed == 64
    assert 1 <= looks <= 2 + (time.monotonic() - began_s) / 0.02


async def _waits(due_s: tuple[float, ...], *, breaks: bool = False) -> list[str]:
    def coming() -> bool:
        if breaks and waiting:
            raise PermissionError("nobody may look")
        return not here

    here, waiting = False, False
    first = FirstModel(3, coming)

    async def wait(due_s: float) -> str:
        try:
            await first.wait(due_s)
        except Refused as refused:
            return refused.code
        except PermissionError:
            return "no permission"
        return "here"

    tasks = [asyncio.create_task(wait(time.perf_counter() + after_s)) for after_s in due_s]
    await asyncio.sleep(0.01)
    waiting = True
    await asyncio.sleep(0.2)
    here = True
    return list(await asyncio.wait_for(asyncio.gather(*tasks), 5))


WAITS = {
    "all have time": ((FAR, FAR, FAR), False, ["here"] * 3),
    "one is late": ((FAR, 0.05, FAR), False, ["here", "deadline", "here"]),
    "one is too many": ((FAR, FAR, FAR, FAR), False, ["here"] * 3 + ["busy"]),
    "nobody may look": ((FAR, FAR), True, ["no permission"] * 2),
}


@pytest.mark.parametrize("case", WAITS.values(), ids=WAITS)
def test_everybody_who_waits_hears(case: tuple[tuple[float, ...], bool, list[str]]) -> None:
    due_s, breaks, expected = case
    assert asyncio.run(_waits(due_s, breaks=breaks)) == expected


@pytest.mark.parametrize(("another", "code"), [(False, "no_model"), (True, "deadline")])
def test_a_model_from_elsewhere_is_waited_for_only_if_some_worker_has_it(
    another: bool, code: str, tmp_path: Path
) -> None:
    """MLflow takes seconds: nobody is let wait so long without need."""
    if another:
        (tmp_path / "alive").mkdir()
        (tmp_path / "alive" / "1").touch(mode=READY)
    limits = Limits(deadline_s=0.5)
    app, loading = build(ServingConfig("theirs", str(tmp_path), "", "", limits=limits))
    app.coming = loading.coming

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post("/invocations", json={"inputs": [1]})

    began_s = time.monotonic()
    reply = asyncio.run(ask())
    assert (reply.status_code, reply.json()["error_code"]) == (503, code)
    assert reply.headers["retry-after"]
    assert (time.monotonic() - began_s > 0.4) == another
    app.log.close()
