"""`mlops predict` as a user runs it, against a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlops.adapters.onnx_session import Session
from mlops.cli import main as cli
from tests.remote.scripted import Say, refusal, scripted
from tests.serving.conftest import Running, running
from tests.serving.tiny import CLASSES, images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("predict")) as found:
        yield found


def mlops(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return int(ended.value.code or 0)


def test_images_and_arrays_are_answered_one_line_each(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = images(3, 5)
    Image.fromarray(pixels[0, ..., 0]).save(tmp_path / "one.png")
    np.save(tmp_path / "all.npy", pixels)
    np.save(tmp_path / "single.npy", pixels[1])
    names = [str(tmp_path / name) for name in ("one.png", "all.npy", "single.npy")]
    assert mlops("predict", *names, "--url", server.url) == 0
    lines = capsys.readouterr().out.splitlines()
    best = Session(server.home / "1" / "model.onnx").probabilities(pixels).argmax(axis=1)
    shown = [CLASSES[k] for k in best[[0, 0, 1, 2, 1]]]
    assert [line.split()[1] for line in lines] == shown
    assert [line.split()[0] for line in lines][:3] == [names[0], f"{names[1]}:0", f"{names[1]}:1"]
    assert all("version 1" in line for line in lines)


def test_json_names_the_likeliest_classes(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = images(1, 6)
    np.save(tmp_path / "a.npy", pixels)
    words = ["--url", server.url, "--json", "--top-k", "2", "--entity", "e1"]
    assert mlops("predict", str(tmp_path / "a.npy"), *words) == 0
    found = json.loads(capsys.readouterr().out)
    [scores] = Session(server.home / "1" / "model.onnx").probabilities(pixels)
    order = np.argsort(-scores)[:2]
    assert list(found["top"].items()) == [(CLASSES[k], float(scores[k])) for k in order]
    assert found["class"] == CLASSES[order[0]]
    assert len(found["prediction_id"]) == 38


def test_rows_and_texts_travel_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n")
    pq.write_table(pa.table({"a": [None], "b": ["y"]}), tmp_path / "b.parquet")
    (tmp_path / "c.txt").write_text("hallo")
    names = [str(tmp_path / name) for name in ("a.csv", "b.parquet", "c.txt")]
    with scripted(Say()) as server:
        assert mlops("predict", *names, "--url", server.url) == 0
    assert [json.loads(one.body) for one in server.heard if one.body] == [
        {"rows": [{"a": 1, "b": "x"}]}, {"rows": [{"a": None, "b": "y"}]}, {"texts": ["hallo"]},
    ]  # fmt: skip
    assert capsys.readouterr().out.count("one 75.0%") == 3


def test_a_number_is_shown_with_its_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    body = {"model_version": "1", "prediction_id": "p", "value": 2.5, "quantiles": {"0.05": 1.0}}
    with scripted(Say(body=json.dumps(body))) as server:
        words = ["predict", str(tmp_path / "a.csv"), "--url", server.url]
        assert mlops(*words) == 0
        assert "2.5  (0.05: 1)  version 1  p" in capsys.readouterr().out
        assert mlops(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["value"], found["quantiles"]) == (2.5, {"0.05": 1.0})


def _write(folder: Path) -> None:
    (folder / "a.xyz").write_text("x")
    (folder / "bad.npy").write_bytes(b"\x93NUMPY garbage")
    (folder / "empty.png").write_bytes(b"")
    (folder / "bad.parquet").write_bytes(b"PAR1")
    (folder / "bad.txt").write_bytes(b"\xff\xfe\xff")
    np.save(folder / "float.npy", np.zeros((1, 4, 4, 1)))
    np.save(folder / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(folder / "none.npy", images(1)[:0])


WRONG = [
    ("a.xyz", 2, "its ending is none of"), ("nowhere.png", 1, "no such file"),
    ("bad.npy", 1, "not an array"), ("empty.png", 1, "the file is empty"),
    ("bad.parquet", 1, "not a table"), ("bad.txt", 1, "not UTF-8"),
    ("float.npy", 2, "send uint8"), ("object.npy", 1, "not an array"), ("none.npy", 2, "0 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code", "said"), WRONG)
def test_a_file_that_cannot_be_asked_about_is_one_line(
    name: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path)
    with scripted(Say()) as server:
        assert mlops("predict", str(tmp_path / name), "--url", server.url) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert len(shown.splitlines()) == 1
    assert [one for one in server.heard if one.body] == []


def test_without_a_server_it_says_how_to_start_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(Say()) as server:
        port = int(server.url.rpartition(":")[2])
    (root / ".mlops").mkdir()
    (root / ".mlops" / "ports.json").write_text(json.dumps({"serve": port}))
    monkeypatch.chdir(root)
    np.save(tmp_path / "a.npy", images(1))
    assert mlops("predict", str(tmp_path / "a.npy")) == 1
    shown = capsys.readouterr().err
    assert f"http://127.0.0.1:{port} does not answer" in shown
    assert "start it with: mlops serve, or mlops up" in shown


def test_another_server_at_that_address_is_named_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", images(1))
    with scripted(Say(404, "<html>Not found")) as server:
        assert mlops("predict", str(tmp_path / "a.npy"), "--url", server.url) == 1
    shown = capsys.readouterr().err
    assert f"error: {server.url} answers HTTP 404, not as mlops serve does; another server" in shown
    assert "MLOPS_SERVE_URL=" in shown
    with scripted(Say(200, "<html>Hello")) as server:
        assert mlops("predict", str(tmp_path / "a.npy"), "--url", server.url) == 1
    shown = capsys.readouterr().err
    assert f"a.npy: {server.url}: the answer is not in the protocol (not JSON)" in shown
    assert len(shown.splitlines()) == 1


def test_a_file_that_the_server_refuses_is_named(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = images(2, 5)
    Image.fromarray(pixels[0, ..., 0]).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-30])
    names = [str(tmp_path / name) for name in ("whole.png", "cut.png")]
    assert mlops("predict", *names, "--url", server.url) == 1
    out, shown = capsys.readouterr()
    assert out.startswith(names[0])
    assert shown.startswith(f"error: {names[1]}: ")
    assert len(shown.splitlines()) == 1
    np.save(tmp_path / "float.npy", pixels.astype(np.float32))
    assert mlops("predict", str(tmp_path / "float.npy"), "--url", server.url) == 2
    assert f"{tmp_path / 'float.npy'}: the array is float32" in capsys.readouterr().err


def test_where_the_file_is_not_at_fault_the_server_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", images(1))
    with scripted(Say(), refusal(401, "unauthorised")) as server:
        assert mlops("predict", str(tmp_path / "a.npy"), "--url", server.url) == 1
    said = f"error: {tmp_path / 'a.npy'}: {server.url}: not now; come back\n"
    assert capsys.readouterr().err == said
    with scripted(refusal(404, "no_page")) as server:
        assert mlops("predict", str(tmp_path / "a.npy"), "--url", server.url) == 1
    assert capsys.readouterr().err == f"error: {server.url}: not now; come back\n"


def test_no_file_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert mlops("predict") == 2
    assert mlops("predict", "a.png", "--top-k", "0") == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
