"""What a model from elsewhere answers: as MLflow's own server does, and never that it is gated."""

from __future__ import annotations

import importlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest

from mlops.serving import columnar, metrics
from mlops.serving.foreign.runner import Runner
from mlops.serving.foreign.worker import routes
from tests.foreign import ANSWERS, ROWS, save_code, save_onnx, save_sklearn
from tests.serving.corpus import CORPUS, send
from tests.serving.foreign.conftest import asking
from tests.serving.tiny import images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from fastapi.testclient import TestClient

CSV = {"content-type": "text/csv"}
PARQUET, STREAM, FILE = columnar.KINDS
SPLIT = json.loads(ROWS.to_json(orient="split"))
RECORDS = json.loads(ROWS.to_json(orient="records"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sklearn(tmp_path_factory.mktemp("sklearn") / "model")


@pytest.fixture(scope="module")
def ours(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with asking(folder, tmp_path_factory.mktemp("home")) as (client, _):
        yield client


@pytest.fixture(scope="module")
def theirs(folder: Path) -> TestClient:
    """Return a client of MLflow's own scoring server."""
    import mlflow.pyfunc
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import scoring_server

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
        return TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(folder))))


@pytest.mark.parametrize("body", [
    {"dataframe_split": SPLIT},
    {"dataframe_split": {name: [row[::-1] for row in SPLIT[name]] if name == "data" else
                         SPLIT[name][::-1] for name in ("columns", "data")}},
    {"dataframe_records": RECORDS},
    {"dataframe_records": [{**RECORDS[0], "of no use": 1}]},
    {"instances": RECORDS},
    {"inputs": ROWS.to_dict("list")},
])  # fmt: skip
def test_the_same_request_gets_mlflows_answer(
    ours: httpx.Client, theirs: TestClient, body: dict[str, Any]
) -> None:
    mine, other = ours.post("/invocations", json=body), theirs.post("/invocations", json=body)
    assert other.status_code == mine.status_code == 200, mine.text
    assert mine.json()["predictions"] == other.json()["predictions"]
    assert mine.json()["model_version"] == mine.headers["x-model-version"] == "3"
    assert mine.headers["x-model-gated"] == "false"


def test_csv_gets_mlflows_answer_and_both_doors_take_it(
    ours: httpx.Client, theirs: TestClient
) -> None:
    body = ROWS.to_csv(index=False)
    other = theirs.post("/invocations", content=body, headers=CSV).json()["predictions"]
    for door in ("/invocations", "/predict"):
        assert ours.post(door, content=body, headers=CSV).json()["predictions"] == other


def _parquet(frame: pd.DataFrame, **options: Any) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, **options)
    return out.getvalue()


def _arrow(frame: pd.DataFrame, *, file: bool = False) -> bytes:
    table, out = pa.Table.from_pandas(frame), io.BytesIO()
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(out, table.schema) as writer:
        for part in table.to_batches(max_chunksize=2):
            writer.write_batch(part)
    return out.getvalue()


FRAMES = {
    "as it is": ROWS, "columns in another order": ROWS[ROWS.columns[::-1]],
    "a column of no use": ROWS.assign(more="x"), "with an index": ROWS.set_index(ROWS["city"]),
    "small numbers": ROWS.astype({"visits": "i4"}),
}  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_parquet_gets_mlflows_answer_and_arrow_the_same(
    ours: httpx.Client, theirs: TestClient, frame: pd.DataFrame
) -> None:
    parquet = _parquet(frame)
    other = theirs.post("/invocations", content=parquet, headers={"content-type": PARQUET})
    assert other.status_code == 200, other.text
    for kind, body in (
        (PARQUET, parquet), (PARQUET, _parquet(frame, row_group_size=3)), (STREAM, _arrow(frame)),
        (FILE, _arrow(frame, file=True)),
    ):  # fmt: skip
        for door in ("/invocations", "/predict"):
            mine = ours.post(door, content=body, headers={"content-type": kind})
            assert mine.status_code == 200, mine.text
            assert mine.json()["predictions"] == other.json()["predictions"]


def test_a_column_of_categories_is_one_of_texts(ours: httpx.Client) -> None:
    """MLflow's server refuses one; ours cannot tell, for it reads texts as such to bound them."""
    frame = ROWS.astype({"city": "category"})
    for kind, body in ((PARQUET, _parquet(frame)), (STREAM, _arrow(frame))):
        reply = ours.post("/invocations", content=body, headers={"content-type": kind})
        assert reply.json()["predictions"] == list(ANSWERS), reply.text


@pytest.mark.parametrize(("kind", "body", "status"), [
    (PARQUET, _parquet(ROWS.drop(columns="age")), 422),
    (PARQUET, _parquet(ROWS.assign(age="many")), 422),
    (PARQUET, _parquet(ROWS[:0]), 422),
    (PARQUET, _parquet(pd.concat([ROWS] * 26)), 413),
    (PARQUET, _parquet(ROWS, compression="zstd"), 415),
    (PARQUET, _parquet(ROWS)[:-9], 400),
    (STREAM, _arrow(ROWS.assign(age=pd.Series([{"a": 1}] * 4))), 400),
    (STREAM, _arrow(ROWS.assign(city="a" * (2 << 20))), 413),
    (STREAM, b"nothing", 400),
])  # fmt: skip
def test_frames_are_bounded_as_those_of_our_own_models(
    ours: httpx.Client, kind: str, body: bytes, status: int
) -> None:
    reply = ours.post("/invocations", content=body, headers={"content-type": kind})
    assert reply.status_code == status, reply.text
    assert set(reply.json()["error"]) == {"code", "message", "field", "remedy"}


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "multipart/form-data; boundary=b"])
def test_pictures_are_refused_with_what_to_send_instead(ours: httpx.Client, kind: str) -> None:
    reply = ours.post("/predict", content=b"a picture", headers={"content-type": kind})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (415, "unsupported_type")
    assert "pictures are not decoded" in error["message"]
    assert "send its numbers as a tensor (/v2/models/NAME/infer)" in error["remedy"]


def test_predict_takes_one_row_or_many(ours: httpx.Client) -> None:
    one = ours.post("/predict", json={"row": RECORDS[1]})
    assert one.json() == {"model_version": "3", "gated": False, "prediction": "yes"}
    many = ours.post("/predict", json={"rows": [list(row.values()) for row in RECORDS]})
    assert many.json()["predictions"] == list(ANSWERS)


_FIRST = RECORDS[0]


@pytest.mark.parametrize(("door", "body", "status", "told"), [
    ("/invocations", {"dataframe_records": [{"age": 3}]}, 422, "age (double), city (string)"),
    ("/invocations", {"dataframe_records": [{**_FIRST, "age": "SECRET"}]}, 422, "signature"),
    ("/invocations", {"dataframe_records": []}, 422, "at least one row"),
    ("/invocations", {"dataframe_split": 3}, 422, "signature"),
    ("/invocations", {"dataframe_records": [_FIRST] * 101}, 413, "at most 100"),
    ("/invocations", {"inputs": {"age": [1.0] * 101}}, 413, "at most 100"),
    ("/invocations", {"inputs": [[1]], "instances": [[1]]}, 400, "exactly one of"),
    ("/invocations", {"rows": [_FIRST]}, 400, "exactly one of"),
    ("/invocations", {"inputs": [[1]], "params": 3}, 422, "must be an object"),
    ("/predict", {"row": [1, 2]}, 422, "a list of 4 values"),
    ("/predict", {"row": "text"}, 422, "a list of 4 values"),
    ("/predict", {"rows": None}, 422, "at least one row"),
    ("/predict", {"rows": [_FIRST], "row": _FIRST}, 422, 'must hold "row", or "rows"'),
    ("/predict?top_k=3", {"row": _FIRST}, 422, "unknown parameter"),
    ("/predict", {"row": {**_FIRST, "age": None}}, 422, "cannot answer these rows (ValueError)"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_without_an_echo(
    ours: httpx.Client, door: str, body: dict[str, Any], status: int, told: str
) -> None:
    reply = ours.post(door, json=body)
    assert reply.status_code == status, reply.text
    assert told in reply.json()["message"] + reply.json()["error"]["remedy"]
    assert "SECRET" not in reply.text


@pytest.mark.parametrize(("kind", "body", "status"), [
    ("application/json", b'{"inputs": [NaN]}', 400),
    ("application/json", b'{"inputs": [1], "inputs": [2]}', 400),
    ("application/json", b"[1]", 400),
    ("text/csv", b"\xff\xfe", 400),
    ("text/csv", b"age\n" + b"1\n" * 102, 413),
    ("text/csv", b"nothing", 422),
    ("application/x-npy", b"x", 415),
])  # fmt: skip
def test_bodies_are_as_strict_as_elsewhere(
    ours: httpx.Client, kind: str, body: bytes, status: int
) -> None:
    for door in ("/invocations", "/predict"):
        reply = ours.post(door, content=body, headers={"content-type": kind})
        assert reply.status_code in (status, 422), reply.text
        assert reply.status_code == status or b"inputs" in body


@pytest.mark.parametrize("door", ["/invocations", "/predict", "/v2/models/theirs/infer"])
@pytest.mark.parametrize("name", CORPUS)
def test_every_door_refuses_the_corpus_as_elsewhere(
    ours: httpx.Client, door: str, name: str
) -> None:
    send(ours, door, name)


def _tensors(**changes: Any) -> dict[str, Any]:
    kinds = {"age": "FP64", "city": "BYTES", "visits": "INT64", "member": "UINT8"}
    values = {n: [int(v) if n == "member" else v for v in ROWS[n].tolist()] for n in kinds}
    tensors = [
        {"name": n, "datatype": kinds[n], "shape": [4], "data": values[n]} for n in kinds
    ]  # fmt: skip
    return {"inputs": tensors, **changes}


def test_open_inference_by_columns(ours: httpx.Client) -> None:
    told = ours.get("/v2/models/theirs").json()
    assert told["platform"] == "mlflow_pyfunc"
    assert [(t["name"], t["datatype"]) for t in told["inputs"]] == [
        ("age", "FP64"), ("city", "BYTES"), ("visits", "INT64"), ("member", "BOOL"),
    ]  # fmt: skip
    assert told["outputs"] == [{"name": "predictions", "datatype": "BYTES", "shape": [-1]}]
    reply = ours.post("/v2/models/theirs/versions/3/infer", json=_tensors(id="mine"))
    assert reply.status_code == 200, reply.text
    assert reply.json() == {
        "model_name": "theirs", "model_version": "3", "id": "mine",
        "outputs": [{"name": "predictions", "datatype": "BYTES", "shape": [4],
                     "data": list(ANSWERS)}],
    }  # fmt: skip
    truths = _tensors()
    truths["inputs"][3] |= {"datatype": "BOOL", "data": ROWS["member"].tolist()}
    twice = _tensors(outputs=[{"name": "predictions"}] * 2)
    assert ours.post("/v2/models/theirs/infer", json=twice).status_code == 422
    again = ours.post("/v2/models/theirs/infer", json=truths)
    assert again.json()["outputs"] == reply.json()["outputs"]
    for path, status in (
        ("/v2/models/other", 404), ("/v2/models/theirs/versions/4/ready", 404),
        ("/v2/models/theirs/ready", 200), ("/v2/health/ready", 200), ("/v2", 200),
    ):  # fmt: skip
        assert ours.get(path).status_code == status, path


def test_tritons_client_sends_what_the_metadata_asks_for(ours: httpx.Client) -> None:
    triton: Any = importlib.import_module("tritonclient.http")  # it has no types
    client = triton.InferenceServerClient(str(ours.base_url).removeprefix("http://"))
    inputs = []
    for told in client.get_model_metadata("theirs")["inputs"]:
        inputs.append(triton.InferInput(told["name"], [4], told["datatype"]))
        inputs[-1].set_data_from_numpy(ROWS[told["name"]].to_numpy())
    found = client.infer("theirs", inputs).as_numpy("predictions")
    assert [value.decode() for value in found] == list(ANSWERS)


@pytest.mark.parametrize("change", [
    {"name": "other"}, {"shape": [2, 2]}, {"datatype": "BYTES", "data": ["x"] * 4},
    {"datatype": "FP64", "data": [0.5] * 4}, {"datatype": "INT64", "data": [2] * 4},
])  # fmt: skip
def test_tensors_that_do_not_fit_are_refused(ours: httpx.Client, change: dict[str, Any]) -> None:
    body = _tensors()
    body["inputs"][3] |= change
    assert ours.post("/v2/models/theirs/infer", json=body).status_code == 422
    body["inputs"] = [{**body["inputs"][0], "shape": [101], "data": [1.0] * 101}]
    assert ours.post("/v2/models/theirs/infer", json=body).status_code == 413


def test_everybody_is_told_that_no_gate_has_judged_it(ours: httpx.Client) -> None:
    page = ours.get("/").text
    assert "Not gated: no gate has judged this model" in page
    assert "MLflow pyfunc (sklearn)" in page
    assert "city (string)" in page
    assert metrics.FOREIGN._value.get() == 1.0
    assert metrics.RUNTIME.labels("MLflow pyfunc")._value.get() == 1.0
    described = ours.get("/openapi.json").json()
    assert "Not gated" in described["info"]["description"]
    known = {(r.name, r.method) for r in routes(Runner()) if r.handler.__name__ != "not_kept"}
    told = {(path, m.upper()) for path, methods in described["paths"].items() for m in methods}
    assert told == known
    for reply in (ours.post("/feedback", json={}), ours.get("/predictions/abc")):
        assert reply.status_code == 404
        assert reply.json()["error"]["code"] == "not_logged"


def test_tensors_and_arrays_by_name(tmp_path: Path) -> None:
    folder = save_onnx(tmp_path / "onnx")
    rows = images(3)
    with asking(folder, tmp_path / "home") as (client, _):
        given = client.post("/invocations", json={"inputs": rows.tolist()}).json()["predictions"]
        one = client.post("/predict", json={"row": rows[0].tolist()}).json()["prediction"]
        kind = {"content-type": STREAM}
        flat = pd.DataFrame(rows.reshape(3, -1)).rename(columns=str)
        framed = client.post("/invocations", content=_arrow(flat), headers=kind)
        assert (framed.status_code, "uint8, -1 × 4 × 4 × 1" in framed.text) == (422, True)
        lists = pd.DataFrame({"image": list(rows.reshape(3, -1))})
        framed = client.post("/invocations", content=_arrow(lists), headers=kind)
        assert framed.json()["predictions"] == given, framed.text
        head = {"inputs": [{"name": "image", "datatype": "UINT8", "shape": list(rows.shape),
                            "parameters": {"binary_data_size": rows.size}}],
                "parameters": {"binary_data_output": True}}  # fmt: skip
        start = orjson.dumps(head)
        packed = client.post(
            "/v2/models/theirs/infer", content=start + rows.tobytes(),
            headers={"inference-header-content-length": str(len(start)),
                     "content-type": "application/octet-stream"},
        )  # fmt: skip
    expected = np.array(given["probabilities"], np.float32)
    np.testing.assert_allclose(expected.sum(axis=1), 1.0, atol=1e-5)
    assert one == {"probabilities": given["probabilities"][0]}
    length = int(packed.headers["inference-header-content-length"])
    [output] = json.loads(packed.content[:length])["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == (
        "probabilities",
        "FP32",
        [3, 3],
    )
    found = np.frombuffer(packed.content[length:], np.float32).reshape(3, 3)
    np.testing.assert_array_equal(found, expected)


def test_frames_parameters_and_failures_of_a_python_file(tmp_path: Path) -> None:
    folder = save_code(tmp_path / "code", tmp_path / "trace")
    with asking(folder, tmp_path / "home", code=True) as (client, app):

        def ask(x: float, **more: Any) -> httpx.Response:
            return client.post("/invocations", json={"dataframe_records": [{"x": x}], **more})

        assert ask(2).json()["predictions"] == [{"x": 2.0, "twice": 4.0, "large": True}]
        assert ask(2, params={"factor": 2.0}).json()["predictions"][0]["twice"] == 8.0
        assert ask(2, params={"factor": "many"}).status_code == 422
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [2]}
        asked = {"inputs": [tensor], "outputs": [{"name": "large"}]}
        [large] = client.post("/v2/models/theirs/infer", json=asked).json()["outputs"]
        assert (large["datatype"], large["data"]) == ("BOOL", [True])
        triton: Any = importlib.import_module("tritonclient.http")  # it has no types
        address = str(client.base_url).removeprefix("http://")
        x = triton.InferInput("x", [2, 1], "FP32")
        x.set_data_from_numpy(np.array([[2], [0]], dtype=np.float32))
        found = triton.InferenceServerClient(address).infer("theirs", [x]).as_numpy("large")
        assert (found.dtype, found.tolist()) == (np.bool_, [True, False])
        broken = ask(-1e9)
        assert (broken.status_code, broken.json()["error"]["code"]) == (500, "model_failed")
        assert ask(1e308).status_code == 500  # twice that is no number that JSON has
        assert client.post("/v2/models/theirs/infer", json={"inputs": [
            {**tensor, "datatype": "FP64", "data": [1e308]}]}).status_code == 500  # fmt: skip
        assert app.batcher.hung_s() == 0.0


def test_without_a_token_only_health_is_told(folder: Path, tmp_path: Path) -> None:
    with asking(folder, tmp_path, closed=True, token="secret") as (client, _):
        for route in routes(Runner()):
            path = route.name.format(name="theirs", version="3", id="x")
            status = client.request(route.method, path, json={}).status_code
            assert (status == 401) != route.open, path
        page = client.get("/", headers={"authorization": "Bearer secret"})
        assert page.status_code == 200
