"""The Open Inference Protocol, driven by a client written against its text, and by Triton's own."""

from __future__ import annotations

import importlib
import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from mlops.serving.split import Split
from tests.serving.kinds import PRICE, RECORDS, TABLE, TEXT, WORDS, TinyModel, columns, serving
from tests.serving.tiny import CLASSES, SHAPE, images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.serving.conftest import Running

ROWS = images(3)
PATH = "/v2/models/tiny"
LENGTH = "inference-header-content-length"
NUMPY = {"BOOL": "?", "FP32": "<f4", "FP64": "<f8", "UINT8": "u1", "INT64": "<i8"}


class Client:
    """The protocol as its specification has it: tensors in JSON or behind it, and back."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=10)

    def infer(
        self, inputs: dict[str, tuple[str, Any]], *, path: str = PATH, binary: bool = False,
        outputs: list[dict[str, Any]] | None = None, **more: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
        """Return the answer's head and its outputs by name."""
        head: dict[str, Any] = {"inputs": [], **more}
        tail = b""
        for name, (datatype, values) in inputs.items():
            array = np.asarray(values, dtype=object if datatype == "BYTES" else NUMPY[datatype])
            given: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": datatype}
            if binary:
                packed = self.pack(array, datatype)
                given["parameters"] = {"binary_data_size": len(packed)}
                tail += packed
            else:
                given["data"] = array.reshape(-1).tolist()
            head["inputs"].append(given)
        if outputs is not None:
            head["outputs"] = outputs
        content = json.dumps(head).encode()
        headers = {"content-type": "application/json"}
        if binary:
            headers = {LENGTH: str(len(content)), "content-type": "application/octet-stream"}
        answer = self.http.post(f"{path}/infer", content=content + tail, headers=headers)
        assert answer.status_code == 200, answer.text
        return self.unpack(answer)

    @staticmethod
    def pack(array: NDArray[Any], datatype: str) -> bytes:
        if datatype != "BYTES":
            return array.tobytes()
        encoded = [value.encode() for value in array.reshape(-1)]
        return b"".join(struct.pack("<I", len(value)) + value for value in encoded)

    @staticmethod
    def unpack(answer: httpx.Response) -> tuple[dict[str, Any], dict[str, Any]]:
        size = int(answer.headers.get(LENGTH, len(answer.content)))
        head, tail = json.loads(answer.content[:size]), answer.content[size:]
        found: dict[str, Any] = {}
        for output in head["outputs"]:
            if "data" in output:
                assert "parameters" not in output
                found[output["name"]] = np.array(output["data"]).reshape(output["shape"])
                continue
            part = tail[: output["parameters"]["binary_data_size"]]
            tail = tail[len(part) :]
            if output["datatype"] == "BYTES":
                texts = []
                while part:
                    (length,) = struct.unpack_from("<I", part)
                    texts.append(part[4 : 4 + length].decode())
                    part = part[4 + length :]
                assert len(texts) == output["shape"][0]
                found[output["name"]] = np.array(texts)
            else:
                found[output["name"]] = np.frombuffer(part, NUMPY[output["datatype"]]).reshape(
                    output["shape"]
                )
        assert not tail
        return head, found


@pytest.fixture(scope="module")
def speaking(shared: Running) -> Client:
    return Client(shared.url)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(tmp_path_factory.mktemp("tables"), TinyModel(TABLE)) as server:
        yield Client(server.url)


def _expected(server: Running) -> NDArray[np.float32]:
    model = server.app.batcher.current()
    found: NDArray[np.float32] = model.predict(ROWS)
    return found


@pytest.mark.parametrize("binary", [False, True])
def test_images_go_in_and_probabilities_come_out(
    binary: bool,
    speaking: Client,
    shared: Running,
) -> None:
    asked = [
        {"name": name, "parameters": {"binary_data": binary}}
        for name in ("class", "probabilities", "prediction_id")
    ]
    head, found = speaking.infer(
        {"image": ("UINT8", ROWS)}, binary=binary, outputs=asked, id="a-1", parameters={"x": 1}
    )
    assert (head["model_name"], head["model_version"], head["id"]) == ("tiny", "1", "a-1")
    assert list(found) == ["class", "probabilities", "prediction_id"]
    expected = _expected(shared)
    np.testing.assert_array_equal(found["probabilities"].astype(np.float32), expected)
    assert found["class"].tolist() == [CLASSES[n] for n in expected.argmax(axis=1)]
    known = speaking.http.get(f"/predictions/{found['prediction_id'][0]}")
    assert known.status_code in (200, 202)


def test_all_outputs_are_the_default_and_binary_where_asked(speaking: Client) -> None:
    head, found = speaking.infer(
        {"image": ("UINT8", ROWS[..., 0])}, path=f"{PATH}/versions/1",
        parameters={"binary_data_output": True},
    )  # fmt: skip
    assert list(found) == ["probabilities", "class", "prediction_id"]
    assert all("data" not in output for output in head["outputs"])
    assert "id" not in head


def test_the_raw_form_is_one_input_without_a_head(speaking: Client, shared: Running) -> None:
    answer = speaking.http.post(
        f"{PATH}/infer", content=ROWS.tobytes(),
        headers={LENGTH: "0", "content-type": "application/octet-stream"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(Client.unpack(answer)[1]["probabilities"], _expected(shared))


def test_metadata_and_health(speaking: Client) -> None:
    get = speaking.http.get
    assert get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert get("/v2/health/live").json() == {"live": True}
    for path in ("/v2/health/ready", f"{PATH}/ready", f"{PATH}/versions/1/ready"):
        assert (get(path).status_code, get(path).json()) == (200, {"ready": True})
    for path in (PATH, f"{PATH}/versions/1"):
        assert get(path).json() == {
            "name": "tiny", "versions": ["1"], "platform": "onnxruntime_onnx",
            "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, *SHAPE]}],
            "outputs": [
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
                {"name": "class", "datatype": "BYTES", "shape": [-1]},
                {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
            ],
        }  # fmt: skip


def test_live_is_not_ready(tmp_path: Any) -> None:
    from tests.serving.conftest import running

    with running(tmp_path, version=None) as server:
        assert httpx.get(f"{server.url}/v2/health/live").status_code == 200
        for path in ("/v2/health/ready", PATH):
            answer = httpx.get(server.url + path)
            assert answer.status_code == 503
            assert isinstance(answer.json()["error"], str)


CITIES = [row["city"] for row in RECORDS]
FORMS: dict[str, tuple[bool, dict[str, tuple[str, Any]]]] = {
    "columns": (False, {
        "age": ("FP64", [30, 50, 61.5]), "city": ("BYTES", CITIES),
        "size of shoe": ("FP32", [42.5, 38, -1000])}),
    "columns, binary": (True, {
        "city": ("BYTES", CITIES), "size of shoe": ("FP64", [42.5, 38, -1000]),
        "age": ("FP64", [30, 50, 61.5])}),
    "upright": (True, {
        "age": ("FP64", [[30], [50], [61.5]]), "city": ("BYTES", [[c] for c in CITIES]),
        "size of shoe": ("FP64", [[42.5], [38], [-1000]])}),
    "codes": (True, {"row": ("FP64", [[30, 0, 42.5], [50, 1, 38], [61.5, 2, -1000]])}),
}  # fmt: skip


@pytest.mark.parametrize(("binary", "inputs"), FORMS.values(), ids=FORMS)
def test_tables_come_as_columns_or_as_one_tensor(
    binary: bool,
    inputs: dict[str, tuple[str, Any]],
    tables: Client,
) -> None:
    rows = [{**row, "age": age} for row, age in zip(RECORDS, (30, 50, 61.5), strict=True)]
    expected = TinyModel(TABLE).expected(columns(rows))
    _, found = tables.infer(inputs, binary=binary)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)


def test_missing_is_null_in_json_and_nan_in_bytes(tables: Client) -> None:
    expected = TinyModel(TABLE).expected(columns())
    ages = np.array([30, np.nan, 61.5])
    shoes = ("FP64", [42.5, 38, -1000])
    _, packed = tables.infer(
        {"age": ("FP64", ages), "city": ("BYTES", CITIES), "size of shoe": shoes}, binary=True
    )
    np.testing.assert_allclose(packed["probabilities"], expected, atol=1e-6)
    body = {"inputs": [
        {"name": "age", "shape": [3], "datatype": "FP64", "data": [30, None, 61.5]},
        {"name": "city", "shape": [3], "datatype": "BYTES", "data": CITIES},
        {"name": "size of shoe", "shape": [3], "datatype": "FP64", "data": shoes[1]},
    ]}  # fmt: skip
    _, listed = Client.unpack(tables.http.post(f"{PATH}/infer", json=body))
    np.testing.assert_allclose(listed["probabilities"], expected, atol=1e-6)


TRUE = [True, False, True]


def _truths(name: str = "age", data: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a request about three rows, one column of which holds truth values."""
    given = {
        "age": ("FP64", [1, 0, 1]),
        "city": ("BYTES", CITIES),
        "size of shoe": ("FP64", [0] * 3),
    }
    columns_ = {
        n: {"name": n, "shape": [3], "datatype": t, "data": d} for n, (t, d) in given.items()
    }
    columns_[name].update({"datatype": "BOOL", "data": TRUE if data is None else data, **changes})
    return {"inputs": [*columns_.values()]}


@pytest.mark.parametrize("binary", [False, True])
def test_truth_values_are_numbers_to_a_column_of_numbers(binary: bool, tables: Client) -> None:
    rows = [{**row, "age": age, "size of shoe": 0} for row, age in zip(RECORDS, TRUE, strict=True)]
    _, found = tables.infer(
        {"age": ("BOOL", TRUE), "city": ("BYTES", CITIES), "size of shoe": ("BOOL", [False] * 3)},
        binary=binary,
    )
    expected = TinyModel(TABLE).expected(columns(rows))
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    _, row = tables.infer({"row": ("BOOL", [[True, False, True]])}, binary=binary)
    _, same = tables.infer({"row": ("FP64", [[1, 0, 1]])}, binary=binary)
    np.testing.assert_array_equal(row["probabilities"], same["probabilities"])


def test_a_missing_truth_value_is_null(tables: Client) -> None:
    answers = [
        Client.unpack(tables.http.post(f"{PATH}/infer", json=body))[1]["probabilities"]
        for body in (_truths(data=[True, None, False]),
                     _truths(data=[1, None, 0], datatype="FP64"))
    ]  # fmt: skip
    np.testing.assert_array_equal(*answers)


UNTRUE: dict[str, tuple[dict[str, Any], str]] = {
    "numbers": (_truths(data=[1, 0, 1]), "must be true or false"),
    "texts": (_truths(data=["true"] * 3), "must be true or false"),
    "a category": (_truths("city"), "must be text or null"),
}


@pytest.mark.parametrize(("body", "why"), UNTRUE.values(), ids=UNTRUE)
def test_what_is_no_truth_value_or_stands_for_none(
    body: dict[str, Any], why: str, tables: Client
) -> None:
    answer = tables.http.post(f"{PATH}/infer", json=body)
    assert (answer.status_code, answer.json()["message"]) == (422, why)


def test_a_byte_that_is_no_truth_value(tables: Client) -> None:
    """Above 1 it would be a number that nobody can have meant."""
    body = _truths()
    body["inputs"][0] |= {"parameters": {"binary_data_size": 3}}
    del body["inputs"][0]["data"]
    for tail, status in ((b"\0\1\0", 200), (b"\0\2\0", 422)):
        content, headers = _behind(body, tail)
        answer = tables.http.post(f"{PATH}/infer", content=content, headers=headers)
        assert answer.status_code == status, answer.text
    assert answer.json()["message"] == "must be bytes of 0 or 1"


def test_tritons_client_sends_truth_values(tables: Client) -> None:
    tritonhttp: Any = importlib.import_module("tritonclient.http")  # it has no types
    client = tritonhttp.InferenceServerClient(str(tables.http.base_url).removeprefix("http://"))
    values = {"age": ("BOOL", np.array(TRUE)), "city": ("BYTES", np.array(CITIES, dtype=object)),
              "size of shoe": ("FP64", np.zeros(3))}  # fmt: skip
    _, expected = tables.infer({**values, "age": ("FP64", [1, 0, 1])})
    for binary in (False, True):
        inputs = [
            tritonhttp.InferInput(name, [3], datatype) for name, (datatype, _) in values.items()
        ]
        for one, (_, array) in zip(inputs, values.values(), strict=True):
            one.set_data_from_numpy(array, binary_data=binary)
        found = client.infer("tiny", inputs).as_numpy("probabilities")
        np.testing.assert_allclose(found, expected["probabilities"], atol=1e-7)


def test_texts_and_numbers(tmp_path: Any) -> None:
    model = TinyModel(TEXT)
    with serving(tmp_path / "a", model) as server:
        for binary in (False, True):
            _, found = Client(server.url).infer({"text": ("BYTES", WORDS)}, binary=binary)
            np.testing.assert_allclose(found["probabilities"], model.expected(WORDS), atol=1e-6)
    with serving(tmp_path / "b", TinyModel(PRICE)) as server:
        _, found = Client(server.url).infer({"row": ("FP64", [[1, 0, 2]])})
        assert list(found) == ["quantiles", "prediction_id"]
        assert found["quantiles"].shape == (1, 3)


def _image(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "shape": [1, *SHAPE], "datatype": "UINT8", "data": [1] * 16}
    return {"inputs": [{key: value for key, value in {**tensor, **changes}.items() if value != ""}]}


_BINARY = {"name": "probabilities", "parameters": {"binary_data": True}}
REFUSED: dict[str, tuple[str, Any, int]] = {
    "no inputs": (PATH, {}, 422),
    "empty inputs": (PATH, {"inputs": []}, 422),
    "inputs as object": (PATH, {"inputs": {"image": [1]}}, 422),
    "unknown key": (PATH, {**_image(), "more": 1}, 422),
    "unknown tensor key": (PATH, _image(more=1), 422),
    "no name": (PATH, _image(name=""), 422),
    "wrong name": (PATH, _image(name="picture"), 422),
    "no shape": (PATH, _image(shape=""), 422),
    "negative shape": (PATH, _image(shape=[-1, 4, 4, 1]), 422),
    "truth in shape": (PATH, _image(shape=[True, 4, 4, 1]), 422),
    "many axes": (PATH, _image(shape=[1] * 9, data=[1]), 422),
    "huge shape": (PATH, _image(shape=[10**9, 10**9, 10**9]), 422),
    "wrong shape": (PATH, _image(shape=[1, 16]), 422),
    "too much data": (PATH, _image(data=[1] * 17), 422),
    "too many rows": (PATH, _image(shape=[1025, 4, 4], data=[1] * 16400), 413),
    "no data": (PATH, _image(data=""), 422),
    "ragged": (PATH, _image(data=[[1] * 8, 1]), 422),
    "256": (PATH, _image(data=[256] * 16), 422),
    "negative": (PATH, _image(data=[-1] * 16), 422),
    "fraction": (PATH, _image(data=[0.5] * 16), 422),
    "truth": (PATH, _image(data=[True] * 16), 422),
    "null": (PATH, _image(data=[None] * 16), 422),
    "truth values as pixels": (PATH, _image(datatype="BOOL", data=[True] * 16), 422),
    "text": (PATH, _image(data=["1"] * 16), 422),
    "unknown datatype": (PATH, _image(datatype="UINT7"), 422),
    "another datatype": (PATH, _image(datatype="INT64"), 422),
    "too large for its type": (PATH, _image(datatype="INT8", data=[300] * 16), 422),
    "two images": (PATH, {"inputs": _image()["inputs"] * 2}, 422),
    "id as number": (PATH, {**_image(), "id": 5}, 422),
    "parameters as list": (PATH, {**_image(), "parameters": []}, 422),
    "no outputs": (PATH, {**_image(), "outputs": None}, 422),
    "unknown output": (PATH, {**_image(), "outputs": [{"name": "logits"}]}, 422),
    "an output twice": (
        PATH, {**_image(), "outputs": [{"name": "class"}, _BINARY, {"name": "class"}]}, 422),
    "outputs as text": (PATH, {**_image(), "outputs": "class"}, 422),
    "size without a tail": (PATH, _image(data="", parameters={"binary_data_size": 16}), 400),
    "NaN": (PATH, b'{"inputs": [NaN]}', 400),
    "list at the root": (PATH, [1], 400),
    "another model": ("/v2/models/large", _image(), 404),
    "another version": (PATH + "/versions/2", _image(), 404),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_told_in_the_protocols_own_shape(
    path: str, body: Any, status: int, speaking: Client
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = speaking.http.post(
        f"{path}/infer", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert isinstance(found["error"], str)
    assert found["error"].startswith(found["message"])
    assert set(found["detail"]) == {"code", "message", "field", "remedy"}
    assert len(answer.text) < 900


def _behind(head: dict[str, Any], tail: bytes, length: int | str | None = None) -> Any:
    content = json.dumps(head).encode()
    return content + tail, {LENGTH: str(len(content) if length is None else length)}


def _tail(size: int, **changes: Any) -> dict[str, Any]:
    return _image(data="", parameters={"binary_data_size": size}, **changes)


BROKEN: dict[str, tuple[Any, int]] = {
    "short tail": (_behind(_tail(16), b"a" * 15), 400),
    "long tail": (_behind(_tail(16), b"a" * 17), 400),
    "wrong size": (_behind(_tail(15), b"a" * 15), 422),
    "negative size": (_behind(_tail(-1), b"a"), 422),
    "a binary output twice": (_behind({**_tail(16), "outputs": [_BINARY] * 2}, b"a" * 16), 422),
    "length beyond the body": (_behind(_tail(16), b"a" * 16, 10_000), 400),
    "length as text": (_behind(_tail(16), b"a" * 16, "x"), 400),
    "length within the head": (_behind(_tail(16), b"a" * 16, 10), 400),
    "BYTES that end early": (
        _behind(_tail(8, datatype="BYTES", shape=[1]), b"\xff\xff\xff\x7fabcd"), 400),
    "BYTES beyond their count": (
        _behind(_tail(10, datatype="BYTES", shape=[1]), b"\1\0\0\0a\1\0\0\0b"), 400),
    "raw, wrong length": ((b"a" * 17, {LENGTH: "0"}), 422),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "status"), BROKEN.values(), ids=BROKEN)
def test_binary_bodies_that_do_not_add_up(request_: Any, status: int, speaking: Client) -> None:
    content, headers = request_
    answer = speaking.http.post(
        f"{PATH}/infer", content=content,
        headers={**headers, "content-type": "application/octet-stream"},
    )  # fmt: skip
    assert answer.status_code == status, answer.text


def test_tritons_client_is_understood(shared: Running) -> None:
    tritonhttp: Any = importlib.import_module("tritonclient.http")  # it has no types
    client = tritonhttp.InferenceServerClient(shared.url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("tiny", "2")
    assert client.get_server_metadata()["name"] == "tiny"
    assert client.get_model_metadata("tiny")["versions"] == ["1"]
    given: Callable[..., Any] = tritonhttp.InferInput
    for binary in (False, True):
        image = given("image", list(ROWS.shape), "UINT8")
        image.set_data_from_numpy(ROWS, binary_data=binary)
        for outputs in (None, [
            tritonhttp.InferRequestedOutput("probabilities", binary_data=binary),
            tritonhttp.InferRequestedOutput("class", binary_data=binary),
        ]):  # fmt: skip
            found = client.infer("tiny", [image], outputs=outputs, request_id="7")
            assert found.get_response()["id"] == "7"
            expected = _expected(shared)
            np.testing.assert_allclose(found.as_numpy("probabilities"), expected, atol=1e-7)
            names = [n.decode() if isinstance(n, bytes) else n for n in found.as_numpy("class")]
            assert names == [CLASSES[n] for n in expected.argmax(axis=1)]
    image = given("picture", list(ROWS.shape), "UINT8")
    image.set_data_from_numpy(ROWS)
    utils: Any = importlib.import_module("tritonclient.utils")
    with pytest.raises(utils.InferenceServerException, match="one tensor; name it image"):
        client.infer("tiny", [image])


def test_a_challenger_of_other_columns_is_not_in_service(tmp_path: Path) -> None:
    """It is given no key; who asks for it by its version hears so, and not that it just left."""
    fewer = replace(TABLE, columns=TABLE.columns[:2])
    with serving(tmp_path, TinyModel(TABLE)) as server:
        client = Client(server.url)
        for schema, status in ((TABLE, 200), (fewer, 404)):
            rival: Any = TinyModel(schema, "2", 1)
            server.app.batcher.compete(rival, Split(1.0, "2"))
            assert client.http.get(f"{PATH}/versions/2").status_code == status
