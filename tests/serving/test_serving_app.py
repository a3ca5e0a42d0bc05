"""The HTTP surface: right answers in MLflow's and our own protocol, and every refusal."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mlops.adapters.onnx_session import Session
from mlops.serving import explain
from tests.serving.tiny import CLASSES, SHAPE, images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.serving.conftest import Running

IMAGE = images(1)[0]
JSON = {"content-type": "application/json"}


def _expected(server: Running, pixels: Any) -> Any:
    return Session(server.home / "1" / "model.onnx").probabilities(np.asarray(pixels, np.uint8))


def _png(pixels: Any = IMAGE[..., 0], kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


ROWS = images(3)
FLAT = ROWS.reshape(3, -1)
NAMES = [f"p{n}" for n in range(16)]
PROTOCOL = {
    "inputs": {"inputs": ROWS.tolist()},
    "inputs without channel": {"inputs": ROWS[..., 0].tolist()},
    "inputs flat": {"inputs": FLAT.tolist()},
    "inputs by name": {"inputs": {"image": ROWS.tolist()}},
    "instances": {"instances": ROWS.tolist()},
    "instances by name": {"instances": [{"image": row.tolist()} for row in ROWS]},
    "split of images": {"dataframe_split": {
        "columns": ["image"], "data": [[row.tolist()] for row in ROWS]}},
    "split of pixels": {"dataframe_split": {
        "columns": NAMES, "index": [0, 1, 2], "data": FLAT.tolist()}},
    "records of images": {"dataframe_records": [{"image": row.tolist()} for row in ROWS]},
    "records of pixels": {"dataframe_records": [
        dict(zip(NAMES, row.tolist(), strict=True)) for row in FLAT]},
    "with params": {"inputs": ROWS.tolist(), "params": {"a": 1}},
    "whole floats": {"inputs": ROWS.astype(float).tolist()},
}  # fmt: skip


@pytest.mark.parametrize("body", PROTOCOL.values(), ids=PROTOCOL)
def test_invocations_answers_every_format(body: Any, client: httpx.Client, shared: Running) -> None:
    answer = client.post("/invocations", json=body)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert np.allclose(content["predictions"]["probabilities"], _expected(shared, ROWS), atol=1e-6)
    assert answer.headers["x-model-version"] == content["model_version"] == "1"
    ids = content["prediction_ids"]
    assert answer.headers["x-prediction-id"] == ",".join(ids)
    assert ids == sorted(set(ids))


def test_the_frame_pages(client: httpx.Client) -> None:
    from mlflow.version import VERSION

    for path in ("/ping", "/health"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (200, "\n")
    assert client.get("/version").text == VERSION


UPLOADS: dict[str, Callable[[], dict[str, Any]]] = {
    "png": lambda: {"content": _png(), "headers": {"content-type": "image/png"}},
    "webp": lambda: {
        "content": _png(kind="WEBP", lossless=True), "headers": {"content-type": "image/webp"}},
    "form": lambda: {"files": {"image": ("a.png", _png(), "image/png")}, "data": {"entity": "e1"}},
    "raw": lambda: {
        "content": IMAGE.tobytes(), "headers": {"content-type": "application/octet-stream"}},
    "json": lambda: {"json": {"image": IMAGE.tolist(), "entity": "e1"}},
    "json without channel": lambda: {"json": {"image": IMAGE[..., 0].tolist()}},
}  # fmt: skip


@pytest.mark.parametrize("make", UPLOADS.values(), ids=UPLOADS)
def test_predict_answers_every_kind_of_image(
    make: Callable[[], dict[str, Any]], client: httpx.Client, shared: Running
) -> None:
    answer = client.post("/predict?entity=e2", **make())
    assert answer.status_code == 200, answer.text
    content = answer.json()
    scores = _expected(shared, IMAGE[None])[0]
    assert list(content["probabilities"]) == list(CLASSES)
    assert np.allclose(list(content["probabilities"].values()), scores, atol=1e-6)
    assert content["class"] == CLASSES[scores.argmax()]
    assert content["model_version"] == "1"


def test_predict_answers_many_images(client: httpx.Client) -> None:
    body = {"images": ROWS.tolist(), "entities": ["a", None, "c"]}
    rows = client.post("/predict", json=body).json()["predictions"]
    assert len({row["prediction_id"] for row in rows}) == 3


def _bomb() -> bytes:
    return _png(np.zeros((5000, 4000), np.uint8))


def _text_bomb() -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("a", "x" * (80 << 20), zip=True)
    return _png(pnginfo=info)


def _deep(levels: int) -> bytes:
    return b'{"inputs": ' + b"[" * levels + b"]" * levels + b"}"


PNG = {"content-type": "image/png"}
TENSOR = {"content-type": "application/octet-stream"}
BAD: dict[str, tuple[str, Any, dict[str, str], int]] = {
    "empty": ("/invocations", b"", JSON, 400),
    "no content type": ("/invocations", b"{}", {}, 415),
    "form type": ("/invocations", b"a=1", {"content-type": "text/html"}, 415),
    "charset": ("/invocations", b"{}", {"content-type": "application/json; charset=utf-16"}, 415),
    "bad utf-8": ("/invocations", b'{"inputs": "\xff"}', JSON, 400),
    "cut": ("/invocations", b'{"inputs": [1', JSON, 400),
    "list at the root": ("/invocations", b"[1]", JSON, 400),
    "number at the root": ("/invocations", b"1", JSON, 400),
    "no key": ("/invocations", b"{}", JSON, 400),
    "two formats": ("/invocations", b'{"inputs": [1], "instances": [1]}', JSON, 400),
    "unknown key": ("/invocations", b'{"input": [1]}', JSON, 400),
    "duplicate key": ("/invocations", b'{"inputs": [1], "inputs": [2]}', JSON, 400),
    "hidden duplicate": ("/invocations", b'{"inputs": [1], "input\\u0073": [2]}', JSON, 400),
    "deep": ("/invocations", _deep(900), JSON, 422),
    "too deep": ("/invocations", _deep(100_000), JSON, 400),
    "deep and duplicate": ("/feedback", b"[" * 900 + b"]" * 900, JSON, 400),
    "NaN": ("/invocations", b'{"inputs": [NaN]}', JSON, 400),
    "Infinity": ("/invocations", b'{"inputs": [Infinity]}', JSON, 400),
    "1e400": ("/invocations", b'{"inputs": [1e400]}', JSON, 400),
    "5000 digits": ("/invocations", b'{"inputs": [' + b"9" * 5000 + b"]}", JSON, 400),
    "20 digits": ("/invocations", {"inputs": [[10**19] * 16]}, JSON, 422),
    "no rows": ("/invocations", b'{"inputs": []}', JSON, 422),
    "null": ("/invocations", b'{"inputs": null}', JSON, 422),
    "nulls": ("/invocations", {"inputs": [[None] * 16]}, JSON, 422),
    "text": ("/invocations", {"inputs": [["1"] * 16]}, JSON, 422),
    "long text": ("/invocations", {"inputs": [[1] * 15 + ["a" * 1_000_000]] * 4}, JSON, 422),
    "truth": ("/invocations", {"inputs": [[True] * 16]}, JSON, 422),
    "objects": ("/invocations", {"inputs": [[{}] * 16]}, JSON, 422),
    "negative": ("/invocations", {"inputs": [[-1] * 16]}, JSON, 422),
    "256": ("/invocations", {"inputs": [[256] * 16]}, JSON, 422),
    "fraction": ("/invocations", {"inputs": [[0.5] * 16]}, JSON, 422),
    "wrong width": ("/invocations", {"inputs": [[1] * 15]}, JSON, 422),
    "ragged": ("/invocations", {"inputs": [[1] * 16, [1] * 15]}, JSON, 422),
    "many rows": ("/invocations", {"inputs": [[1] * 16] * 1025}, JSON, 413),
    "oversized": ("/invocations", b" " * ((8 << 20) + 1), JSON, 413),
    "gzip": ("/invocations", b"\x1f\x8b", {**JSON, "content-encoding": "gzip"}, 415),
    "split of nothing": ("/invocations", {"dataframe_split": {}}, JSON, 422),
    "split with duplicate columns": (
        "/invocations", {"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, JSON, 422),
    "records of other columns": (
        "/invocations", {"dataframe_records": [{"a": 1}, {"b": 1}]}, JSON, 422),
    "records of numbers": ("/invocations", {"dataframe_records": [1]}, JSON, 422),
    "unknown predict key": ("/predict", {"image": IMAGE.tolist(), "a": 1}, JSON, 422),
    "entity control": ("/predict", {"image": IMAGE.tolist(), "entity": "a\nb"}, JSON, 422),
    "entity number": ("/predict", {"image": IMAGE.tolist(), "entity": 5}, JSON, 422),
    "entity nul": ("/predict?entity=%00", IMAGE.tobytes(), TENSOR, 422),
    "entities short": ("/predict", {"images": ROWS.tolist(), "entities": ["a"]}, JSON, 422),
    "raw wrong length": ("/predict", b"123", TENSOR, 422),
    "not an image": ("/predict", b"hello", PNG, 415),
    "gif": ("/predict", _png(kind="GIF"), {"content-type": "image/gif"}, 415),
    "truncated": ("/predict", _png(images(1, shape=(64, 64, 1))[0, ..., 0])[:-300], PNG, 422),
    "header only": ("/predict", _png()[:20], PNG, 422),
    "bomb": ("/predict", _bomb(), PNG, 413),
    "long strip": ("/predict", _png(np.zeros((1, 20_000), np.uint8)), PNG, 413),
    "text bomb": ("/predict", _text_bomb(), PNG, 422),
    "form without boundary": ("/predict", b"a", {"content-type": "multipart/form-data"}, 400),
    "broken form": ("/predict", b"a", {"content-type": "multipart/form-data; boundary=b"}, 400),
    "no label": ("/feedback", {"prediction_id": "a"}, JSON, 422),
    "unknown id": ("/feedback", {"prediction_id": "a", "label": 1}, JSON, 404),
    "forged id": ("/feedback", {"prediction_id": "0" * 38, "label": 1}, JSON, 404),
    "unknown class": ("/feedback", {"prediction_id": "a", "label": "nine"}, JSON, 422),
    "label out of range": ("/feedback", {"prediction_id": "a", "label": 3}, JSON, 422),
    "label true": ("/feedback", {"prediction_id": "a", "label": True}, JSON, 422),
    "label source": (
        "/feedback", {"prediction_id": "a", "label": 1, "label_source": "me"}, JSON, 422),
    "feedback of nothing": ("/feedback", [], JSON, 400),
    "unknown page": ("/nothing", b"{}", JSON, 404),
    "traversal": ("/predictions/..%2f..%2fetc", b"", JSON, 404),
    "wrong method": ("/ping", b"{}", JSON, 405),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "headers", "status"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_without_an_echo(
    path: str, body: Any, headers: dict[str, str], status: int, client: httpx.Client
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "field", "remedy"}
    assert "Traceback" not in answer.text
    assert len(answer.text) < 600
    assert client.get("/health").status_code == 200


def test_an_impossible_id_is_not_looked_up(serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where a folder must be")
    server = serve(database_url=f"sqlite:///{tmp_path / 'file' / 'mlops.db'}")
    for name in ("%00", "a%00b", "%C3%A9", "a" * 65):
        answer = httpx.get(f"{server.url}/predictions/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_prediction")


def test_a_chunked_body_over_the_limit_is_refused(client: httpx.Client) -> None:
    parts = (b" " * (1 << 20) for _ in range(9))
    assert client.post("/predict", content=parts, headers=JSON).status_code == 413


@pytest.mark.parametrize("begun", [b"", b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_head_that_never_ends_is_given_up(serve: Callable[..., Running], begun: bytes) -> None:
    """Also one of which a byte comes now and then, and a connection on which nothing comes."""
    server = serve()
    server.server.config.timeout_keep_alive = 1
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=0.1) as slow:
        slow.sendall(begun)
        found, until_s = b"", time.monotonic() + 10.0
        while time.monotonic() < until_s:
            try:
                part = slow.recv(4096)
            except TimeoutError:
                slow.sendall(b"a" if begun else b"")
                continue
            except ConnectionResetError:
                break
            if not part:
                break
            found += part
        assert time.monotonic() < until_s
    assert found.startswith(b"HTTP/1.1 408") if begun else found == b""
    # A head that begins late is not late: it has its own time.
    with socket.create_connection((host, int(port)), timeout=5.0) as late:
        late.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert late.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(0.8)
        late.sendall(b"GET /ping HTTP/1.1\r\n")
        time.sleep(0.5)
        late.sendall(b"Host: localhost\r\n\r\n")
        assert late.recv(4096).startswith(b"HTTP/1.1 200")
    # Who asks now and then is not given up while it is answered in between.
    with httpx.Client(base_url=server.url) as client:
        for _ in range(4):
            time.sleep(0.4)
            assert client.get("/health").status_code == 200


def test_lines_after_a_body_have_an_end(shared: Running) -> None:
    """A body in chunks may be followed by headers, which the parser keeps without a limit."""
    host, port = shared.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10.0) as endless:
        endless.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: "
        )
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 8 << 20:
                sent += endless.send(b"a" * 4096)
        assert sent < 4 << 20  # but for what the kernel holds
    body = b"1\r\n \r\n" * 20_000  # many small chunks are a body, and no lines
    with socket.create_connection((host, int(port)), timeout=10.0) as many:
        many.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + body + b"2\r\n{}\r\n0\r\n\r\n"
        )
        assert many.recv(4096).startswith(b"HTTP/1.1 422")


def test_who_may_not_be_explained_is_not_logged(serve: Callable[..., Running]) -> None:
    server = serve()
    with explain.turn():
        answer = httpx.post(f"{server.url}/predict?explain=1", json={"image": ROWS[0].tolist()})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert server.write_log() == 0
    answer = httpx.post(f"{server.url}/predict?explain=1", json={"image": ROWS[0].tolist()})
    assert answer.status_code == 200
    assert server.write_log() == 1


def test_a_slow_body_is_given_up(shared: Running) -> None:
    import socket

    host, port = shared.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as slow:
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99\r\n\r\n{"
        )
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")


CLEAR = np.dstack([np.full((4, 4, 3), 200, np.uint8), np.zeros((4, 4), np.uint8)])
CONVERTED = {
    "16 bits": (np.full((4, 4), 0x8040, np.uint16), 0x80),
    "colour": (np.full((4, 4, 3), 77, np.uint8), 77),
    "alpha over black": (CLEAR, 0),
    "larger": (np.full((40, 20), 9, np.uint8), 9),
    "one pixel": (np.full((1, 1), 5, np.uint8), 5),
}  # fmt: skip


@pytest.mark.parametrize(("pixels", "value"), CONVERTED.values(), ids=CONVERTED)
def test_images_are_converted_by_rule(pixels: Any, value: int) -> None:
    from mlops.core.schema import ImageSchema
    from mlops.serving.images import decode

    found = decode(_png(pixels), ImageSchema(CLASSES, *SHAPE), 1_000_000)
    assert found.shape == SHAPE
    assert (found == value).all()


def test_exif_rotation_and_cmyk_are_understood() -> None:
    from mlops.core.schema import ImageSchema
    from mlops.serving.images import decode

    schema = ImageSchema(CLASSES, 4, 4, 3)
    half = np.zeros((64, 64, 3), np.uint8)
    half[:32] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # turned upside down
    turned = decode(_png(half, "JPEG", exif=exif.tobytes()), schema, 10**6)
    assert turned[0].max() < 10
    assert turned[3].min() > 245
    out = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(out, "JPEG")
    assert decode(out.getvalue(), schema, 10**6).min() > 245


def test_before_a_champion_everything_waits(serve: Callable[..., Running]) -> None:
    server = serve(version=None)
    for method, path in (("GET", "/health"), ("POST", "/predict"), ("POST", "/invocations")):
        answer = httpx.request(method, server.url + path, headers=JSON)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers


def test_a_token_guards_every_route_but_health(serve: Callable[..., Running]) -> None:
    server = serve(token="secret")
    body = {"image": IMAGE.tolist()}
    right = {"authorization": "Bearer secret"}
    for path in ("/predict", "/invocations", "/feedback", "/predictions/x", "/other", "/version"):
        for header in ({}, {"authorization": "Bearer secre"}, {"authorization": "Basic secret"}):
            assert httpx.post(server.url + path, json=body, headers=header).status_code == 401
    assert httpx.post(server.url + "/predict", json=body, headers=right).status_code == 200
    assert httpx.get(server.url + "/health").status_code == 200


def test_a_full_worker_says_when_to_come_back(serve: Callable[..., Running]) -> None:
    from mlops.serving.config import Limits

    server = serve(limits=Limits(requests=0))
    answer = httpx.post(server.url + "/predict", json={"image": IMAGE.tolist()})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_mlflow_reads_our_answer_as_its_own(
    client: httpx.Client, shared: Running, tmp_path: Any
) -> None:
    """The same body through MLflow's own scoring code and ours gives the same answer."""
    import mlflow
    import onnx
    from mlflow.deployments import PredictionsResponse
    from mlflow.models import ModelSignature
    from mlflow.pyfunc.scoring_server import invocations
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, *SHAPE), "image")]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, 3), "probabilities")]),
    )
    path = str(tmp_path / "model")
    mlflow.onnx.save_model(
        onnx.load(shared.home / "1" / "model.onnx"), path, signature=signature,
        pip_requirements=["onnxruntime"],
    )  # fmt: skip
    model = mlflow.pyfunc.load_model(path)
    schema = model.metadata.get_input_schema()
    for body in (PROTOCOL["inputs by name"], PROTOCOL["instances by name"]):
        text = json.dumps(body)
        theirs = json.loads(invocations(text, "application/json", model, schema).response)
        answer = client.post("/invocations", json=body)
        ours = PredictionsResponse.from_json(answer.text)
        assert ours["predictions"].keys() == theirs["predictions"].keys()
        assert np.allclose(
            ours["predictions"]["probabilities"], theirs["predictions"]["probabilities"], atol=1e-6
        )
    assert sys.modules["mlflow"] is mlflow
