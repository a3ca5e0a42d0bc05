"""`/invocations` beside MLflow's own scoring server: the same request, the same answer.

MLflow serves what `mlops register` writes, of every kind.
"""

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

from mlops.core.schema import ImageSchema
from mlops.serving import frame
from mlops.serving.reply import Refused
from mlops.serving.supervisor import bind
from tests.foreign import save_version
from tests.serving.kinds import PRICE, RECORDS, TABLE, TEXT, WORDS, TinyModel, columns, serving
from tests.serving.tiny import CLASSES, SHAPE, images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving.conftest import Running

PARQUET = "application/vnd.apache.parquet"
WORDS_FRAME = pd.DataFrame({"text": WORDS})
FRAME = pd.DataFrame(RECORDS).astype({"age": float, "size of shoe": float})
MORE = FRAME.assign(id=["a", "b", "c"], bought=[True, False, True], made=pd.Timestamp("2026-01-05"))
SPLIT = json.loads(FRAME.to_json(orient="split"))
PIXELS = images(3)


@contextmanager
def _mlflow_server(folder: Path) -> Iterator[str]:
    """Run MLflow's scoring server on a saved model, over real HTTP."""
    import mlflow.pyfunc
    import uvicorn
    from mlflow.pyfunc import scoring_server

    app = scoring_server.init(mlflow.pyfunc.load_model(str(folder)))
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


@contextmanager
def _beside(folder: Path, model: TinyModel) -> Iterator[tuple[str, str]]:
    """Serve one model twice: as `mlops register` writes it by MLflow, and by our own server."""
    import onnx

    folder.mkdir()
    onnx.save(model.proto, folder / "model.onnx")
    version = save_version(folder / "version", folder / "model.onnx", model.schema)
    with _mlflow_server(version) as theirs, serving(folder, model) as ours:
        yield theirs, ours.url


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return the addresses of MLflow's server and of ours, with one table model."""
    with _beside(tmp_path_factory.mktemp("beside") / "table", TinyModel(TABLE)) as found:
        yield found


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return their addresses with one regression model."""
    with _beside(tmp_path_factory.mktemp("beside") / "number", TinyModel(PRICE)) as found:
        yield found


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return their addresses with one text model."""
    with _beside(tmp_path_factory.mktemp("beside") / "text", TinyModel(TEXT)) as found:
        yield found


@pytest.fixture(scope="module")
def pictures(
    shared: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Return their addresses with one image model."""
    folder, model = tmp_path_factory.mktemp("pictures") / "version", shared.home / "1/model.onnx"
    with _mlflow_server(save_version(folder, model, ImageSchema(CLASSES, *SHAPE))) as theirs:
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
    "inputs as records": _json({"inputs": RECORDS}),
    "inputs as one row": _json({"inputs": RECORDS[0]}),
    "instances": _json({"instances": [RECORDS[0], RECORDS[2]]}),
    "instances as columns": _json({"instances": {k: [RECORDS[0][k]] for k in RECORDS[0]}}),
    "whole numbers": _json({"dataframe_records": [{**RECORDS[0], "size of shoe": 42.0}]}),
    "unknown category": _json({"dataframe_records": [{**RECORDS[0], "city": "Chur"}]}),
    "no category": _json({"dataframe_records": [RECORDS[0], {**RECORDS[0], "city": None}]}),
    "csv": ("text/csv", FRAME.drop(index=2).to_csv(index=False).encode()),
    "csv with charset": ("text/csv; charset=utf-8", FRAME.head(1).to_csv(index=False).encode()),
    "csv with quotes": ("text/csv", b'city,age,size of shoe\r\n"Chur, West",,1e2\r\n'),
    "parquet": (PARQUET, _parquet(FRAME)),
    "all missing": _json({"dataframe_records": [dict.fromkeys(RECORDS[0])]}),
    "a row that lacks a column": _json({"dataframe_records": [
        RECORDS[0], {"age": 1}, {"city": "Genf", "size of shoe": 38}]}),
    "records with more": _json({"dataframe_records": [
        {**row, "id": 7, "bought": True, "words": ["a", None]} for row in RECORDS]}),
    "columns with more": _json({"inputs": {
        **{k: [r[k] for r in RECORDS[::2]] for k in RECORDS[0]}, "id": ["a", "b"]}}),
    "split with more": _json({"dataframe_split": json.loads(MORE.to_json(orient="split"))}),
    "csv with more": ("text/csv", MORE.drop(index=2).to_csv(index=False).encode()),
    "csv with its index": ("text/csv", MORE.drop(index=2).to_csv().encode()),
    "parquet with more": (PARQUET, _parquet(MORE)),
    "a key of another server": _json({"signature_name": "x", "dataframe_records": RECORDS}),
}  # fmt: skip
PICTURES: dict[str, tuple[str, bytes]] = {
    "inputs by name": _json({"inputs": {"image": PIXELS.tolist()}}),
    "inputs": _json({"inputs": PIXELS.tolist()}),
    "instances by name": _json({"instances": [{"image": row.tolist()} for row in PIXELS]}),
    "one instance": _json({"instances": [{"image": PIXELS[0].tolist()}]}),
    "inputs with more": _json({"inputs": {"image": PIXELS.tolist(), "id": [1, 2, 3]}}),
    "instances with more": _json({"instances": [
        {"image": row.tolist(), "id": n} for n, row in enumerate(PIXELS)]}),
    "records": _json({"dataframe_records": [{"image": row.ravel().tolist()} for row in PIXELS]}),
    "split with more": _json({"dataframe_split": {
        "columns": ["id", "image"], "data": [[1, row.ravel().tolist()] for row in PIXELS]}}),
}  # fmt: skip
TEXTS: dict[str, tuple[str, bytes]] = {
    "inputs": _json({"inputs": WORDS}),
    "inputs by name": _json({"inputs": {"text": WORDS}}),
    "one input": _json({"inputs": {"text": WORDS[0]}}),
    "inputs as records": _json({"inputs": [{"text": word} for word in WORDS]}),
    "inputs with more": _json({"inputs": {"text": WORDS, "id": [1, 2, 3]}}),
    "instances": _json({"instances": [{"text": word} for word in WORDS]}),
    "plain instances": _json({"instances": WORDS}),
    "records": _json({"dataframe_records": [{"text": word} for word in WORDS]}),
    "records with more": _json({"dataframe_records": [{"text": word, "n": 1} for word in WORDS]}),
    "split": _json({"dataframe_split": {"columns": ["text"], "data": [[word] for word in WORDS]}}),
    "csv": ("text/csv", WORDS_FRAME.to_csv(index=False).encode()),
    "csv with its index": ("text/csv", WORDS_FRAME.to_csv().encode()),
    "parquet": (PARQUET, _parquet(WORDS_FRAME)),
    "parquet with more": (PARQUET, _parquet(WORDS_FRAME.assign(spam=[True, False, True]))),
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


@pytest.mark.parametrize(("kind", "body"), TABLES.values(), ids=TABLES)
def test_regressions_are_answered_as_mlflow_does(
    kind: str, body: bytes, numbers: tuple[str, str]
) -> None:
    _same(numbers, kind, body)


@pytest.mark.parametrize(("kind", "body"), TEXTS.values(), ids=TEXTS)
def test_texts_are_answered_as_mlflow_does(kind: str, body: bytes, texts: tuple[str, str]) -> None:
    _same(texts, kind, body)


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


MORE_TEXTS = {
    "inputs as a column": _json({"inputs": [[word] for word in WORDS]}),
    "split": _json({"dataframe_split": {"columns": ["t"], "data": [[word] for word in WORDS]}}),
}


@pytest.mark.parametrize(("kind", "body"), MORE_TEXTS.values(), ids=MORE_TEXTS)
def test_texts_come_in_forms_that_mlflow_does_not_take(
    kind: str, body: bytes, texts: tuple[str, str]
) -> None:
    answer = httpx.post(f"{texts[1]}/invocations", content=body, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    found = answer.json()["predictions"]["probabilities"]
    np.testing.assert_allclose(found, TinyModel(TEXT).expected(WORDS), atol=1e-6)


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


_LACKS = [{k: v for k, v in row.items() if k != "city"} for row in RECORDS]
LACKING = {
    "records": _json({"dataframe_records": _LACKS}),
    "a misspelt column": _json({"inputs": [{**row, "citty": "Bern"} for row in _LACKS]}),
    "columns": _json({"inputs": {"age": [1], "size of shoe": [40]}}),
    "csv": ("text/csv", MORE.drop(columns="city").to_csv(index=False).encode()),
    "parquet": (PARQUET, _parquet(MORE.drop(columns="city"))),
}


@pytest.mark.parametrize(("kind", "body"), LACKING.values(), ids=LACKING)
def test_a_column_that_no_row_has_is_an_error_in_both(
    kind: str, body: bytes, tables: tuple[str, str]
) -> None:
    for url in tables:
        answer = httpx.post(
            f"{url}/invocations", content=body, headers={"content-type": kind}, trust_env=False
        )
        assert 400 <= answer.status_code < 500
        assert "city" in answer.text


def test_rows_that_each_bring_columns_of_their_own_cost_no_more_than_others() -> None:
    rows = [{**RECORDS[0], f"own {n}": n} for n in range(100)]
    found = frame.from_records(rows, "inputs", 100, TABLE)
    assert found.names == [*RECORDS[0]]
    with pytest.raises(Refused, match="the same columns"):
        frame.from_records([{f"own {n}": n} for n in range(100)], "inputs", 100, TABLE)


_ALIEN = {
    "rows": _json({"rows": [{**row, "id": 7} for row in RECORDS]}),
    "csv": ("text/csv", MORE.drop(columns=["bought", "made"]).to_csv(index=False).encode()),
    "parquet": (PARQUET, _parquet(MORE.drop(columns=["bought", "made"]))),
    "arrow": (STREAM, _arrow(MORE.drop(columns=["bought", "made"]))),
}


@pytest.mark.parametrize(("kind", "body"), _ALIEN.values(), ids=_ALIEN)
def test_predict_takes_a_column_that_nobody_knows_for_a_typo(
    kind: str, body: bytes, tables: tuple[str, str]
) -> None:
    answer = httpx.post(f"{tables[1]}/predict", content=body, headers={"content-type": kind})
    assert answer.status_code == 422
    assert "does not know: id" in answer.json()["message"]
