"""Hot swaps under load: no request fails, and every reply is one version's own answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from mlops.adapters.onnx_session import Session
from mlops.serving import metrics
from mlops.serving.config import ServingConfig
from mlops.serving.model import sealed
from mlops.serving.worker import build
from tests.serving.tiny import images, make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.serving.conftest import Running

ROWS = images(3)


async def _ask(url: str, rate: float, stop: asyncio.Event) -> list[httpx.Response]:
    """Send requests at a fixed rate, whatever became of the earlier ones."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        sent = []
        start = time.monotonic()
        while not stop.is_set():
            sent.append(
                asyncio.create_task(client.post("/invocations", json={"inputs": ROWS.tolist()}))
            )
            await asyncio.sleep(max(0.0, start + len(sent) / rate - time.monotonic()))
        return list(await asyncio.gather(*sent))


async def _swap(server: Running, swaps: int, rate: float, every_s: float) -> list[httpx.Response]:
    stop = asyncio.Event()
    asking = asyncio.create_task(_ask(server.url, rate, stop))
    for n in range(swaps):
        await asyncio.sleep(every_s)
        await asyncio.to_thread(point, server.home, str(n % 3 + 1))
    await asyncio.sleep(every_s)
    stop.set()
    return await asking


def _check(server: Running, replies: list[Any]) -> None:
    expected = {
        version: Session(server.home / version / "model.onnx").probabilities(ROWS)
        for version in ("1", "2", "3")
    }
    assert [reply.status_code for reply in replies if reply.status_code != 200] == []
    for reply in replies:
        content = reply.json()
        version = content["model_version"]
        assert version == reply.headers["x-model-version"]
        found = content["predictions"]["probabilities"]
        assert np.allclose(found, expected[version], atol=1e-6)
    assert {reply.headers["x-model-version"] for reply in replies} == {"1", "2", "3"}
    assert server.write_log() == len(replies) * len(ROWS)


@pytest.mark.parametrize(
    ("swaps", "every_s"), [(6, 0.5), pytest.param(100, 0.5, marks=pytest.mark.bench)]
)
def test_swaps_under_load_fail_no_request(
    swaps: int, every_s: float, serve: Callable[..., Running]
) -> None:
    server = serve()
    for version in ("2", "3"):
        make_version(server.home, version, seed=int(version))
    replies = asyncio.run(_swap(server, swaps, 100.0, every_s))
    assert len(replies) > swaps * every_s * 50
    _check(server, replies)


def test_a_version_that_the_worker_cannot_load_changes_nothing(
    serve: Callable[..., Running],
) -> None:
    server = serve()
    folder = make_version(server.home, "2")
    (folder / "model.onnx").write_bytes(b"broken after it was verified")
    point(server.home, "2")
    time.sleep(0.4)
    told = httpx.get(server.url + "/health").headers
    assert told["x-model-version"] == "1"
    assert told["x-model-digest"] == sealed(server.home / "1")


def test_who_has_a_version_does_not_load_its_mended_copy(tmp_path: Path) -> None:
    """What is in memory was never damaged; who failed to load it looks at once, as at any news."""
    make_version(tmp_path, "1")
    point(tmp_path, "1")
    app, watcher = build(ServingConfig("tiny", str(tmp_path), str(tmp_path / "spool"), ""))
    watcher.first()
    model, swaps = app.batcher.model, metrics.SWAPS._value.get()
    for version in ("1", "2"):
        if version == "2":
            make_version(tmp_path, "2", seed=2)
        point(tmp_path, version)
        asyncio.run(watcher.step())
        assert (app.batcher.model is model) == (version == "1")
        assert metrics.SWAPS._value.get() - swaps == float(version) - 1.0
    app.log.close()
    app.mirror.close()


def test_a_model_of_another_shape_comes_into_service(serve: Callable[..., Running]) -> None:
    server = serve()
    shape = (2, 2, 3)
    make_version(server.home, "2", shape=shape)
    point(server.home, "2")
    while httpx.get(server.url + "/health").headers["x-model-version"] != "2":
        time.sleep(0.02)
    old, new = ({"inputs": images(1, shape=s).tolist()} for s in ((4, 4, 1), shape))
    assert httpx.post(server.url + "/invocations", json=old).status_code == 422
    assert httpx.post(server.url + "/invocations", json=new).status_code == 200


def test_a_draining_worker_is_unready_and_finishes_what_it_has(
    serve: Callable[..., Running],
) -> None:
    server = serve()
    server.app.draining = True
    assert httpx.get(server.url + "/health").status_code == 503
    assert httpx.post(server.url + "/invocations", json={"inputs": ROWS.tolist()}).is_success
