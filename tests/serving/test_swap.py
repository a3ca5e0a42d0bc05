"""Hot swaps under load: no request fails, and every reply is one version's own answer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters.onnx_session import Session
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import predictions
from mlops.core.features import read
from mlops.core.schema import Column, TableSchema
from mlops.serving import metrics
from mlops.serving.config import ServingConfig
from mlops.serving.model import sealed
from mlops.serving.worker import build
from tests.serving.kinds import TinyModel, serving
from tests.serving.test_direct import JSON, _Line, _post
from tests.serving.tiny import images, make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops.core.schema import Schema
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


BEFORE = TableSchema(
    ("no", "yes"),
    (Column("age", "number"), Column("income", "number"), Column("city", "category", ("Bern",))),
)
AFTER = {
    "columns in another order": replace(BEFORE, columns=BEFORE.columns[::-1]),
    "numbers in another order": replace(
        BEFORE, columns=(BEFORE.columns[1], BEFORE.columns[0], BEFORE.columns[2])
    ),
    "a category more": replace(
        BEFORE, columns=(*BEFORE.columns[:2], Column("city", "category", ("Bern", "Genf")))
    ),
    "a column fewer": replace(BEFORE, columns=BEFORE.columns[:2]),
    "classes in another order": replace(BEFORE, classes=("yes", "no")),
    "no classes": replace(BEFORE, classes=()),
    "the same": BEFORE,
}
ROW = {"age": 30.0, "income": 7.0, "city": "Genf"}
DOORS = {
    "/predict": {"row": ROW},
    "/invocations": {"dataframe_records": [ROW]},
    "/v2/models/tiny/infer": {"inputs": [
        {"name": name, "shape": [1], "datatype": "BYTES" if name == "city" else "FP64",
         "data": [value]} for name, value in ROW.items()
    ]},
}  # fmt: skip


def _own(model: TinyModel) -> list[float]:
    """Return what a model answers to `ROW`, by itself."""
    kinds = {"number": float, "category": object}
    values = [np.array([ROW[c.name]], kinds[c.kind]) for c in _columns(model.schema)]
    return [float(value) for value in model.expected(values)[0]]


def _columns(schema: Schema) -> tuple[Column, ...]:
    assert isinstance(schema, TableSchema)
    return schema.columns


def _said(model: TinyModel, content: dict[str, Any]) -> list[float]:
    """Return the numbers of an answer, in the order of a model's classes."""
    if "outputs" in content:
        return list(content["outputs"][0]["data"])
    if "predictions" in content:
        return list(content["predictions"]["probabilities"][0])
    return [content["probabilities"][name] for name in model.schema.classes]


def _check_log(server: Running, models: dict[str, TinyModel], rows: int = 1) -> None:
    """Check that every row of the log is `ROW`, as the version that answered it has columns."""
    written, end_s = 0, time.monotonic() + 10
    while written < rows:
        assert time.monotonic() < end_s
        written += server.write_log()
    engine = open_database(server.config.database_url)
    with engine.connect() as connection:
        found = connection.execute(sa.select(predictions)).all()
    assert len(found) == rows
    for row in found:
        schema = models[row.version].schema
        values = [column[0] for column in read([row.features], schema)]
        assert values == [ROW[column.name] for column in _columns(schema)]


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
@pytest.mark.parametrize("door", DOORS)
def test_a_swap_between_head_and_body_mixes_no_columns(
    door: str, after: TableSchema, tmp_path: Path
) -> None:
    models = {"1": TinyModel(BEFORE, "1", 0), "2": TinyModel(after, "2", 1)}
    request = _post(door, JSON, json.dumps(DOORS[door]).encode())
    with serving(tmp_path, models["1"]) as server, _Line(server) as line:
        line.say(request[:-10])
        time.sleep(0.1)
        server.app.batcher.model = models["2"]  # type: ignore[assignment]
        line.say(request[-10:])
        head, body = line.hear()
        assert head.split()[1] == b"200"
        content = json.loads(body)
        version = content["model_version"]
        assert version == ("2" if after is BEFORE else "1")
        assert np.allclose(_said(models[version], content), _own(models[version]), atol=1e-6)
        _check_log(server, models)


def test_a_swap_behind_a_running_batch_mixes_no_columns(tmp_path: Path) -> None:
    """While the old model runs in its thread, more is queued for it, then for its successor."""
    models = {
        "1": TinyModel(BEFORE, "1", 0),
        "2": TinyModel(AFTER["numbers in another order"], "2", 1),
    }
    honest, held = models["1"].predict, threading.Event()

    def predict(rows: Any) -> Any:
        held.wait(10)
        return honest(rows)

    models["1"].predict, models["1"].row_s = predict, 0.01  # type: ignore[method-assign]
    request = _post("/predict", JSON, json.dumps(DOORS["/predict"]).encode())
    with serving(tmp_path, models["1"]) as server:
        lines = [_Line(server) for _ in range(6)]
        for n, line in enumerate(lines):
            if n == 4:
                server.app.batcher.model = models["2"]  # type: ignore[assignment]
            line.say(request)
            time.sleep(0.05)
        held.set()
        told = [json.loads(line.hear()[1]) for line in lines]
        assert [content["model_version"] for content in told] == [*"111122"]
        for content in told:
            model = models[content["model_version"]]
            assert np.allclose(_said(model, content), _own(model), atol=1e-6)
        _check_log(server, models, len(lines))
        for line in lines:
            line.socket.close()
