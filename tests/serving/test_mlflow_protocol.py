"""`/invocations` beside MLflow's own scoring server: the same request, the same answer."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pandas as pd
import pytest

from mlops.serving.supervisor import bind
from tests.serving.kinds import RECORDS, TABLE, TEXT, WORDS, TinyModel, columns, serving
from tests.serving.tiny import SHAPE, images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving.conftest import Running

PARQUET = "application/vnd.apache.parquet"
FRAME = pd.DataFrame(RECORDS).astype({"age": float, "size of shoe": float})
SPLIT = json.loads(FRAME.to_json(orient="split"))
PIXELS = images(3)

_LOADER = """
import numpy as np, onnxruntime
CITIES = ("Bern", "Genf", "NA")

class Wrapped:
    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path)

    def predict(self, frame, params=None):
        codes = {city: float(n) for n, city in enumerate(CITIES)}
        row = np.stack([
            frame["age"].astype(float),
            [np.nan if c is None or c != c else codes.get(c, -1.0) for c in frame["city"]],
            frame["size of shoe"].astype(float),
        ], axis=1)
        return {"probabilities": self.session.run(None, {"in": row})[0]}

def _load_pyfunc(path):
    return Wrapped(path)
"""


@contextmanager
def _mlflow_server(path: str) -> Iterator[str]:
    """Run MLflow's scoring server on a saved model, over real HTTP."""
    import mlflow.pyfunc
    import uvicorn
    from mlflow.pyfunc import scoring_server

    app = scoring_server.init(mlflow.pyfunc.load_model(path))
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    server.capture_signals = contextmanager(lambda: iter([None]))  # type: ignore[method-assign]
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
    )
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return the addresses of MLflow's server and of ours, with one table model."""
    import mlflow.pyfunc
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    folder = tmp_path_factory.mktemp("tables")
    model = TinyModel(TABLE)
    onnx.save(model.proto, folder / "model.onnx")
    (folder / "tiny_loader.py").write_text(_LOADER)
    signature = ModelSignature(
        Schema([ColSpec("double", "age"), ColSpec("string", "city", required=False),
                ColSpec("double", "size of shoe")]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, 2), "probabilities")]),
    )  # fmt: skip
    mlflow.pyfunc.save_model(
        str(folder / "model"), loader_module="tiny_loader", data_path=str(folder / "model.onnx"),
        code_paths=[str(folder / "tiny_loader.py")], signature=signature,
        pip_requirements=["onnxruntime"],
    )  # fmt: skip
    with _mlflow_server(str(folder / "model")) as theirs, serving(folder, model) as ours:
        yield theirs, ours.url


@pytest.fixture(scope="module")
def pictures(
    shared: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Return the addresses of MLflow's server and of ours, with one image model."""
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, *SHAPE), "image")]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, 3), "probabilities")]),
    )
    path = str(tmp_path_factory.mktemp("pictures") / "model")
    mlflow.onnx.save_model(
        onnx.load(shared.home / "1" / "model.onnx"), path, signature=signature,
        pip_requirements=["onnxruntime"],
    )  # fmt: skip
    with _mlflow_server(path) as theirs:
        yield theirs, shared.url


def _parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


def _json(body: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(body).encode()


TABLES: dict[str, tuple[str, bytes]] = {
    "split": _json({"dataframe_split": SPLIT}),
    "split without index": _json({"dataframe_split": {k: SPLIT[k] for k in ("columns", "data")}}),
    "split in another order": _json({"dataframe_split": json.loads(
        FRAME[["size of shoe", "age", "city"]].to_json(orient="split"))}),
    "records": _json({"dataframe_records": RECORDS}),
    "records with params": _json({"dataframe_records": RECORDS, "params": {"a": 1}}),
    "inputs as columns": _json({"inputs": {k: [r[k] for r in RECORDS[::2]] for k in RECORDS[0]}}),
    "instances": _json({"instances": [RECORDS[0], RECORDS[2]]}),
    "whole numbers": _json({"dataframe_records": [{**RECORDS[0], "size of shoe": 42.0}]}),
    "unknown category": _json({"dataframe_records": [{**RECORDS[0], "city": "Chur"}]}),
    "no category": _json({"dataframe_records": [RECORDS[0], {**RECORDS[0], "city": None}]}),
    "csv": ("text/csv", FRAME.drop(index=2).to_csv(index=False).encode()),
    "csv with charset": ("text/csv; charset=utf-8", FRAME.head(1).to_csv(index=False).encode()),
    "csv with quotes": ("text/csv", b'city,age,size of shoe\r\n"Chur, West",,1e2\r\n'),
    "parquet": (PARQUET, _parquet(FRAME)),
}  # fmt: skip
PICTURES: dict[str, tuple[str, bytes]] = {
    "inputs by name": _json({"inputs": {"image": PIXELS.tolist()}}),
    "inputs": _json({"inputs": PIXELS.tolist()}),
    "instances by name": _json({"instances": [{"image": row.tolist()} for row in PIXELS]}),
    "one instance": _json({"instances": [{"image": PIXELS[0].tolist()}]}),
}


def _same(addresses: tuple[str, str], kind: str, body: bytes) -> None:
    headers = {"content-type": kind}
    theirs, ours = (
        httpx.post(f"{url}/invocations", content=body, headers=headers, trust_env=False, timeout=30)
        for url in addresses
    )
    assert (theirs.status_code, ours.status_code) == (200, 200), (theirs.text, ours.text)
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    expected, found = theirs.json(), ours.json()
    assert found.keys() - {"prediction_ids", "model_version"} == expected.keys()
    assert found["predictions"].keys() == expected["predictions"].keys()
    for name, values in expected["predictions"].items():
        np.testing.assert_allclose(found["predictions"][name], values, atol=1e-6, strict=True)


@pytest.mark.parametrize(("kind", "body"), TABLES.values(), ids=TABLES)
def test_tables_are_answered_as_mlflow_does(
    kind: str, body: bytes, tables: tuple[str, str]
) -> None:
    _same(tables, kind, body)


@pytest.mark.parametrize(("kind", "body"), PICTURES.values(), ids=PICTURES)
def test_images_are_answered_as_mlflow_does(
    kind: str, body: bytes, pictures: tuple[str, str]
) -> None:
    _same(pictures, kind, body)


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_the_frame_pages_are_mlflows(path: str, pictures: tuple[str, str]) -> None:
    theirs, ours = (httpx.get(url + path, trust_env=False) for url in pictures)
    assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text)


def _arrow(frame: pd.DataFrame, *, file: bool = False, compression: str | None = None) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_pandas(frame)
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_file if file else pa.ipc.new_stream
    with make(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return out.getvalue()


STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
ARROW = {
    "stream": (STREAM, _arrow(FRAME)),
    "file": (FILE, _arrow(FRAME, file=True)),
    "categories": (STREAM, _arrow(FRAME.astype({"city": "category"}))),
    "parquet of categories": (PARQUET, _parquet(FRAME.astype({"city": "category"}))),
}


@pytest.mark.parametrize(("kind", "body"), ARROW.values(), ids=ARROW)
def test_arrow_is_read_beside_what_mlflow_reads(
    kind: str, body: bytes, tables: tuple[str, str]
) -> None:
    answer = httpx.post(f"{tables[1]}/invocations", content=body, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    expected = TinyModel(TABLE).expected(columns())
    found = answer.json()["predictions"]["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_category_that_pandas_takes_for_missing_is_itself_where_it_is_listed(
    tables: tuple[str, str],
) -> None:
    answer = httpx.post(
        f"{tables[1]}/invocations", content=FRAME.to_csv(index=False).encode(),
        headers={"content-type": "text/csv"},
    )  # fmt: skip
    expected = TinyModel(TABLE).expected(columns())
    found = answer.json()["predictions"]["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


FLAT = pd.DataFrame(PIXELS.reshape(3, -1))
IMAGE_FRAMES = {
    "csv": ("text/csv", FLAT.to_csv(index=False).encode()),
    "parquet": (PARQUET, _parquet(FLAT.rename(columns=str))),
    "arrow of lists": (STREAM, _arrow(pd.DataFrame({"image": list(PIXELS.reshape(3, -1))}))),
}


@pytest.mark.parametrize(("kind", "body"), IMAGE_FRAMES.values(), ids=IMAGE_FRAMES)
def test_images_come_in_frames_too(kind: str, body: bytes, pictures: tuple[str, str]) -> None:
    found, expected = (
        httpx.post(f"{pictures[1]}/invocations", content=content, headers={"content-type": k})
        for k, content in ((kind, body), PICTURES["inputs"])
    )
    assert found.status_code == 200, found.text
    assert found.json()["predictions"] == expected.json()["predictions"]


TEXTS = {
    "inputs": _json({"inputs": WORDS}),
    "inputs as a column": _json({"inputs": [[word] for word in WORDS]}),
    "inputs by name": _json({"inputs": {"text": WORDS}}),
    "instances": _json({"instances": [{"text": word} for word in WORDS]}),
    "split": _json({"dataframe_split": {"columns": ["t"], "data": [[word] for word in WORDS]}}),
    "csv": ("text/csv", pd.DataFrame({"text": WORDS}).to_csv(index=False).encode()),
    "parquet": (PARQUET, _parquet(pd.DataFrame({"text": WORDS}))),
}


def test_texts_come_in_every_format(tmp_path: Path) -> None:
    model = TinyModel(TEXT)
    with serving(tmp_path, model) as server, httpx.Client(base_url=server.url) as client:
        for name, (kind, body) in TEXTS.items():
            answer = client.post("/invocations", content=body, headers={"content-type": kind})
            assert answer.status_code == 200, (name, answer.text)
            found = answer.json()["predictions"]["probabilities"]
            np.testing.assert_allclose(found, model.expected(WORDS), atol=1e-6)


def test_what_was_written_is_logged_not_what_the_model_saw(tmp_path: Path) -> None:
    import sqlalchemy as sa

    from mlops.adapters.sql.tables import predictions

    row = {"age": 1.0, "city": "Chur", "size of shoe": None}
    with serving(tmp_path, TinyModel(TABLE)) as server:
        for _ in range(2):
            httpx.post(f"{server.url}/invocations", json={"dataframe_records": [row]})
        assert server.write_log() == 2
        with sa.create_engine(server.config.database_url).connect() as connection:
            rows = connection.execute(sa.select(predictions)).all()
        assert [found.features for found in rows] == [b'[1.0,"Chur",null]'] * 2
        assert len({found.example_id for found in rows}) == 1


def test_unknown_categories_are_counted(tables: tuple[str, str]) -> None:
    from mlops.serving import metrics

    counter = metrics.UNKNOWN_CATEGORIES.labels("city")
    before = counter._value.get()
    body = {"dataframe_records": [{**RECORDS[0], "city": name} for name in ("Chur", "Bern", "?")]}
    assert httpx.post(f"{tables[1]}/invocations", json=body).status_code == 200
    assert counter._value.get() == before + 2
