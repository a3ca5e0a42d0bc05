from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram

from mlops.serving import metrics
from mlops.serving.counting import Counting
from mlops.serving.pulse import Pulse
from tests.serving.conftest import running

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.serving.app import App


def read(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_ends_in_one_turn_is_written_in_the_next(tmp_path: Path) -> None:
    route = "/counted-in-a-test"

    async def play() -> None:
        counting, before = Counting(Pulse(tmp_path)), read("mlops_predictions_total")
        for status, spent_s in ((200, 0.002), (200, 0.003), (503, 0.3)):
            counting.began()
            counting.rows += 5
            counting.answered(route, status, spent_s, gated=True)
        counting.began()
        counting.began()
        assert read("mlops_requests_total", route=route, status="200") == 0.0
        await asyncio.sleep(0)
        assert read("mlops_requests_total", route=route, status="200") == 2.0
        assert read("mlops_requests_total", route=route, status="503") == 1.0
        assert read("mlops_request_seconds_bucket", route=route, le="0.0025") == 1.0
        assert read("mlops_request_seconds_count", route=route) == 3.0
        assert read("mlops_predictions_total") - before == 15.0
        assert read("mlops_requests_in_progress") == 2.0
        for _ in range(2):
            counting.gone()
        await asyncio.sleep(0)
        assert read("mlops_requests_in_progress") == 0.0

    asyncio.run(play())


def test_a_request_that_is_given_up_is_in_progress_no_longer(tmp_path: Path) -> None:
    async def play(app: App) -> None:
        headers = [(b"content-type", b"text/csv"), (b"content-length", b"9")]
        scope = {"type": "http", "path": "/predict", "method": "POST", "query_string": b"",
                 "headers": headers}  # fmt: skip
        task = asyncio.create_task(app(scope, asyncio.Event().wait, print))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        assert read("mlops_requests_in_progress") == 1.0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert read("mlops_requests_in_progress") == 0.0

    with running(tmp_path) as server:
        asyncio.run(play(server.app))


def test_amounts_together_fall_where_each_alone_does() -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    bounds = (0.1, 0.5, 1.0)
    together = metrics.Summed("x", "x", buckets=bounds, registry=registries[0])
    alone = Histogram("x", "x", buckets=bounds, registry=registries[1])
    amounts = [0.05, 0.1, 0.10001, 0.5, 0.75, 1.0, 7.0]
    together.observe_all(amounts)
    for amount in amounts:
        alone.observe(amount)
    for bound in ("0.1", "0.5", "1.0", "+Inf"):
        found = [r.get_sample_value("x_bucket", {"le": bound}) for r in registries]
        assert found[0] == found[1]
    assert registries[0].get_sample_value("x_sum") == registries[1].get_sample_value("x_sum")
