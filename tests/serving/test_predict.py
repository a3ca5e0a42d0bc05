"""`/predict`: every kind of example in every type it may come in, and explanations."""

from __future__ import annotations

import asyncio
import base64
import io
import tempfile
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mlops.core.schema import Column, ImageSchema, TableSchema
from mlops.serving import readers
from mlops.serving.config import Limits
from tests.serving.corpus import npy_of
from tests.serving.kinds import (
    PRICE,
    RECORDS,
    TABLE,
    TEXT,
    WORDS,
    TinyModel,
    asking,
    columns,
    serving,
)
from tests.serving.tiny import CLASSES, images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving.conftest import Running

ROWS = images(3)
NPY = {"content-type": "application/x-npy"}


def _npy(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with asking(tmp_path_factory.mktemp("tables"), TABLE) as client:
        yield client


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with asking(tmp_path_factory.mktemp("texts"), TEXT) as client:
        yield client


def test_an_uploaded_picture_does_not_touch_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two megabytes: from one on a form's files go to a temporary one, if nobody says no."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    pixels = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    asked = httpx.Request("POST", "http://x", files={"file": ("a.png", out.getvalue())})
    headers = [(b"content-type", asked.headers["content-type"].encode())]
    schema = ImageSchema(("a", "b"), 900, 900, 3)
    body = asked.read()
    assert len(body) > 2_000_000
    found = asyncio.run(readers.read(None, {"headers": headers}, body, schema, Limits()))
    assert np.array_equal(found.values[0], pixels)


def _scores(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    content = answer.json()
    rows = content.get("predictions", [content])
    return [list(row["probabilities"].values()) for row in rows]


ARRAYS = {
    "many": ROWS, "one": ROWS[0],
    "without channel": ROWS[..., 0], "flat order": np.asfortranarray(ROWS),
}  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("kind", ["application/x-npy", "application/octet-stream"])
def test_npy_of_images(kind: str, array: Any, client: httpx.Client, shared: Running) -> None:
    answer = client.post("/predict", content=_npy(array), headers={"content-type": kind})
    expected = shared.app.batcher.current().predict(np.reshape(array, (-1, 4, 4, 1)))
    np.testing.assert_allclose(_scores(answer), expected, atol=1e-6)
    assert ("predictions" in answer.json()) == (array.shape[0] == 3)


def test_jpeg_by_name_and_without(client: httpx.Client) -> None:
    out = io.BytesIO()
    Image.fromarray(ROWS[0, ..., 0]).save(out, "JPEG")
    answer = client.post("/predict", content=out.getvalue(), headers={"content-type": "image/jpeg"})
    assert answer.status_code == 200


TABLE_FORMS: dict[str, dict[str, Any]] = {
    "row": {"json": {"row": RECORDS[0], "entity": "e"}},
    "row as list": {"json": {"row": [30, "Bern", 42.5]}},
    "form": {"files": {name: (None, str(value)) for name, value in RECORDS[0].items()}},
    "npy": {"content": _npy(np.array([30.0, 0.0, 42.5])), "headers": NPY},
    "rows": {"json": {"rows": RECORDS[:1], "entities": ["a"]}},
    "csv": {
        "content": b"age,city,size of shoe\n30,Bern,42.5\n", "headers": {"content-type": "text/csv"}
    },
}  # fmt: skip


@pytest.mark.parametrize("form", TABLE_FORMS.values(), ids=TABLE_FORMS)
def test_rows_of_a_table(form: dict[str, Any], tables: httpx.Client) -> None:
    expected = TinyModel(TABLE).expected(columns(RECORDS[:1]))
    np.testing.assert_allclose(_scores(tables.post("/predict", **form)), expected, atol=1e-6)


def test_an_empty_field_of_a_form_is_missing(tables: httpx.Client) -> None:
    form = {"age": (None, ""), "city": (None, "Genf"), "size of shoe": (None, "38")}
    expected = TinyModel(TABLE).expected(columns(RECORDS[1:2]))
    answer = tables.post("/predict", files=form)
    np.testing.assert_allclose(_scores(answer), expected, atol=1e-6)


TEXT_FORMS: dict[str, dict[str, Any]] = {
    "text": {"json": {"text": WORDS[1]}},
    "plain": {"content": WORDS[1].encode(), "headers": {"content-type": "text/plain"}},
    "form": {"files": {"text": (None, WORDS[1])}},
    "texts": {"json": {"texts": [WORDS[1]]}},
}


@pytest.mark.parametrize("form", TEXT_FORMS.values(), ids=TEXT_FORMS)
def test_texts(form: dict[str, Any], texts: httpx.Client) -> None:
    expected = TinyModel(TEXT).expected(WORDS[1:2])
    np.testing.assert_allclose(_scores(texts.post("/predict", **form)), expected, atol=1e-6)


def test_a_number_comes_with_its_interval(tmp_path: Path) -> None:
    model = TinyModel(PRICE)
    with serving(tmp_path, model) as server:
        answer = httpx.post(f"{server.url}/predict?top_k=1", json={"row": RECORDS[0]}).json()
        explained = httpx.post(f"{server.url}/predict?explain=1", json={"row": RECORDS[0]}).json()
    low, middle, high = model.expected(columns(RECORDS[:1]))[0].tolist()
    assert answer["value"] == pytest.approx(middle)
    assert list(answer["quantiles"]) == ["0.05", "0.5", "0.95"]
    assert list(answer["quantiles"].values()) == pytest.approx([low, middle, high])
    assert explained["explanation"]["output"] == "value"


def test_top_k_tells_the_likeliest_first(client: httpx.Client) -> None:
    body = {"image": ROWS[0].tolist()}
    every = client.post("/predict", json=body).json()["probabilities"]
    ordered = sorted(every, key=lambda name: -every[name])
    for asked, told in (("1", 1), ("2", 2), ("3", 3), ("10000", 3)):
        found = client.post(f"/predict?top_k={asked}", json=body).json()
        assert list(found["probabilities"]) == ordered[:told]
        assert found["class"] == ordered[0]
    assert list(every) == list(CLASSES)


QUERIES = {
    "top_k=0": 422, "top_k=-1": 422, "top_k=1.5": 422, "top_k=": 422, "top_k=%C2%B2": 422,
    "top_k=99999999": 422, "top_k=1&top_k=2": 422, "explain=yes": 422, "explain=": 422,
    "what=1": 422,
    "explain=1&entity=%00": 422, "entity=%ff": 400, "&".join(f"a{n}=1" for n in range(20)): 400,
}  # fmt: skip


@pytest.mark.parametrize(("query", "status"), QUERIES.items())
def test_queries_are_read_strictly(query: str, status: int, client: httpx.Client) -> None:
    answer = client.post(f"/predict?{query}", json={"image": ROWS[0].tolist()})
    assert answer.status_code == status, answer.text


def test_the_patch_that_decides_stands_out(client: httpx.Client, shared: Running) -> None:
    """The tiny model is linear before its softmax: each pixel's part can be told by hand."""
    answer = client.post("/predict?explain=png", json={"image": ROWS[0].tolist()}).json()
    explanation = answer["explanation"]
    model = shared.app.batcher.current()
    assert explanation["class"] == answer["class"]
    assert np.shape(explanation["values"]) == (4, 4)
    best = CLASSES.index(answer["class"])
    for at in ((0, 0), (2, 3)):
        covered = ROWS[:1].copy()
        covered[0][at] = round(float(ROWS[0].mean()))
        without = model.predict(covered)[0, best]
        assert explanation["values"][at[0]][at[1]] == pytest.approx(
            answer["probability"] - without, abs=2e-6
        )
    kind, _, content = explanation["image"].partition(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (224, 224)


def test_columns_and_words_are_explained(tables: httpx.Client, texts: httpx.Client) -> None:
    answer = tables.post("/predict?explain=1", json={"row": RECORDS[2]}).json()
    parts = answer["explanation"]["parts"]
    assert [part["columns"] for part in parts] == [["age"], ["city"], ["size of shoe"]]
    model = TinyModel(TABLE)
    without = model.expected(columns([{**RECORDS[2], "size of shoe": None}]))[0]
    best = TABLE.classes.index(answer["class"])
    assert parts[2]["value"] == pytest.approx(answer["probability"] - without[best], abs=2e-6)

    answer = texts.post("/predict?explain=1", json={"text": WORDS[0]}).json()
    parts = answer["explanation"]["parts"]
    assert [WORDS[0][part["start"] : part["end"]] for part in parts] == ["buy", "this", "now"]
    without = TinyModel(TEXT).expected(["buy this "])[0]
    best = TEXT.classes.index(answer["class"])
    assert parts[2]["value"] == pytest.approx(answer["probability"] - without[best], abs=2e-6)


def test_an_explanation_costs_at_most_so_many_rows(tmp_path: Path) -> None:
    from mlops.serving.explain import PARTS

    wide = TableSchema(("a", "b"), tuple(Column(f"c{n}", "number") for n in range(300)))
    large = ImageSchema(("a", "b"), 97, 61, 3)
    for name, schema in (("wide", wide), ("large", large)):
        model = TinyModel(schema) if isinstance(schema, TableSchema) else _Large(schema)
        counted: list[int] = []

        def predict(rows: Any, model: Any = model, counted: list[int] = counted) -> Any:
            counted.append(len(rows))
            return type(model).predict(model, rows)

        model.predict = predict  # type: ignore[method-assign]
        with serving(tmp_path / name, model) as server:
            image = images(1, 0, large.shape)[0].tolist()
            body = {"row": [1.0] * 300} if name == "wide" else {"image": image}
            answer = httpx.post(f"{server.url}/predict?explain=1", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        assert sum(counted) <= 1 + PARTS


class _Large(TinyModel):
    """An image model without a graph of its own: brightness above the middle."""

    def __init__(self, schema: ImageSchema) -> None:
        self.schema, self.version, self.row_s = schema, "1", 0.0

    def predict(self, rows: Any) -> Any:
        bright = rows.reshape(len(rows), -1).mean(axis=1) / 255
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


def test_many_rows_are_not_explained(client: httpx.Client) -> None:
    answer = client.post("/predict?explain=1", json={"images": ROWS.tolist()})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "explain")


REFUSED: dict[str, tuple[str, Any, int]] = {
    "pickle": ("application/x-npy", _npy(np.array([{}], dtype=object), allow_pickle=True), 422),
    "npy cut": ("application/x-npy", _npy(ROWS)[:-1], 400),
    "npy long": ("application/x-npy", _npy(ROWS) + b"a", 400),
    "npy header": ("application/x-npy", b"\x93NUMPY\x01\x00\xff\xff{", 400),
    "npy code": ("application/x-npy", b"\x93NUMPY\x01\x00\x10\x00__import__('os')", 400),
    "npy version": ("application/x-npy", b"\x93NUMPY\x09\x00" + _npy(ROWS)[8:], 400),
    "npy floats": ("application/x-npy", _npy(ROWS.astype(np.float32)), 422),
    "npy signed": ("application/x-npy", _npy(ROWS.astype(np.int8)), 422),
    "npy shape": ("application/x-npy", _npy(ROWS[:, :3]), 422),
    "npy empty": ("application/x-npy", _npy(ROWS[:0]), 400),
    "npy scalar": ("application/x-npy", _npy(np.uint8(3)), 422),
    "npy rows": ("application/x-npy", _npy(np.zeros((1025, 4, 4), np.uint8)), 413),
    "no npy": ("application/x-npy", b"hello", 400),
    "text for images": ("text/plain", b"hello", 415),
}


@pytest.mark.parametrize(("kind", "content", "status"), REFUSED.values(), ids=REFUSED)
def test_arrays_that_are_refused(
    kind: str, content: bytes, status: int, client: httpx.Client
) -> None:
    answer = client.post("/predict", content=content, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"code", "message", "field", "remedy"}


def test_a_table_of_negative_sizes_is_refused(tables: httpx.Client) -> None:
    body = npy_of("(-1, -3)", "<f8", 24)
    assert tables.post("/predict", content=body, headers=NPY).status_code == 400
