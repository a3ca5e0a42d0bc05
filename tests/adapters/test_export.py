"""ONNX where it can be, else `torch.export`; and no archive may run a line of its own."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from mlops.adapters import pt2
from mlops.adapters.export import export
from mlops.adapters.runtimes import model_file, open_model
from mlops.errors import DataError, StepError
from tests.adapters.test_onnx import IMAGES, SCHEMA, Unexportable
from tests.pictures import image_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops.core.preprocessing import Preprocessed

CARD = {
    "schema": {"kind": "image", "classes": list(SCHEMA.classes), "height": 8, "width": 8,
               "channels": 1},
}  # fmt: skip
GRAPH = "archive/models/model.json"
WEIGHTS = "archive/data/weights/model_weights_config.json"
SAMPLE = "archive/data/sample_inputs/model.pt"


class Bessel(torch.nn.Module):
    """ONNX has no such operator."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Linear(64, 10)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(torch.special.bessel_j0(x_NCHW.flatten(1)))
        return found


def bessel() -> Preprocessed:
    torch.manual_seed(0)
    return image_model(Bessel(), [0.3], [0.4])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("exported")
    made = export(bessel(), IMAGES, SCHEMA, found, 1e-4)
    assert (made.runtime, made.gap) == ("torch.export", 0.0)
    assert "Bessel cannot be exported to ONNX" in made.why
    assert "\x1b" not in made.why
    (found / "model.json").write_text(json.dumps(CARD))
    return found


@pytest.mark.parametrize("rows", [0, 1, 2, 70])
def test_the_archive_answers_as_the_network_for_any_number_of_rows(rows: int, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.pt2"]
    model = open_model(folder)
    found = model.probabilities(IMAGES[:rows])
    with torch.no_grad():
        expected = bessel().eval()(torch.from_numpy(IMAGES)).numpy()[:rows]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert found.shape == (rows, 10)
    assert (model.input, model.output, model.answers) == ("image", "probabilities", 10)


def test_onnx_is_taken_where_it_holds_the_network(tmp_path: Path) -> None:
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    made = export(image_model(linear, [0.3], [0.4]), IMAGES, SCHEMA, tmp_path, 1e-4)
    assert (made.runtime, made.why) == ("onnx", "")
    assert model_file(tmp_path) == tmp_path / "model.onnx"
    assert not (tmp_path / "model.pt2").exists()


def test_a_network_that_nothing_can_hold_is_named(tmp_path: Path) -> None:
    model = image_model(Unexportable(), [0.3], [0.4])
    with pytest.raises(StepError, match=r"to ONNX.*nor can torch.export hold it: Unexportable"):
        export(model, IMAGES, SCHEMA, tmp_path, 1e-4)
    assert not list(tmp_path.iterdir())


def test_wrong_images_and_schemas_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the model takes uint8 \(N, 8, 8, 1\)"):
        open_model(folder).probabilities(IMAGES[:, :7])
    for key, value in (("classes", ["a", "b"]), ("height", 9)):
        card = {"schema": {**CARD["schema"], key: value}}
        (tmp_path / "model.json").write_text(json.dumps(card))
        (tmp_path / "model.pt2").write_bytes((folder / "model.pt2").read_bytes())
        with pytest.raises(DataError, match="does not map images to"):
            open_model(tmp_path)


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, (str(self._path), "w"))


def _repacked(
    source: Path, target: Path, change: Callable[[dict[str, bytes]], object], packing: int = 0
) -> Path:
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(target, "w", packing) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target


def _graph(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, bytes]], None]:
    def apply(parts: dict[str, bytes]) -> None:
        graph = json.loads(parts[GRAPH])
        change(graph)
        parts[GRAPH] = json.dumps(graph).encode()

    return apply


def _node(graph: dict[str, Any], **changes: Any) -> None:
    graph["graph_module"]["graph"]["nodes"][0].update(changes)


def _first(graph: dict[str, Any], **changes: Any) -> None:
    graph["graph_module"]["graph"]["inputs"][0]["as_tensor"].update(changes)


def _size(graph: dict[str, Any], text: str) -> None:
    [one] = [t for n, t in graph["graph_module"]["graph"]["tensor_values"].items() if n == "x_nhwc"
             or "as_expr" in t["sizes"][0]][:1]  # fmt: skip
    one["sizes"][0]["as_expr"]["expr_str"] = text


def _pickled(parts: dict[str, bytes]) -> None:
    config = json.loads(parts[WEIGHTS])
    next(iter(config["config"].values()))["use_pickle"] = True
    parts[WEIGHTS] = json.dumps(config).encode()


ATTACKS: list[tuple[Callable[[dict[str, bytes]], object], str]] = [
    (lambda parts: parts.update({SAMPLE: b"x"}), "sample inputs"),
    (_pickled, "a pickled tensor"),
    (lambda parts: parts.update({"archive/data/extra.so": b"x"}), "entry 'data/extra.so'"),
    (lambda parts: parts.update({"archive/data/constants/custom_obj_0": b"x"}), "custom_obj_0"),
    (_graph(lambda g: _node(g, target="torch.load")), "target = 'torch.load'"),
    (_graph(lambda g: _node(g, target="torch.ops.aten.from_file.default")), "from_file"),
    (_graph(lambda g: _node(g, target="torch.ops.higher_order.cond")), "higher_order"),
    (_graph(lambda g: _node(g, metadata={"a": "b"})), "metadata"),
    (_graph(lambda g: _first(g, name="x=print(1)")), "name = 'x=print"),
    (_graph(lambda g: g.update(guards_code=["print(1)"])), "guards_code"),
    (_graph(lambda g: _size(g, "__import__('os').getpid()")), "expr_str"),
    (_graph(lambda g: _size(g, "9**9**9")), "expr_str"),
    (_graph(lambda g: g.update({"a b": 1})), "the name 'a b'"),
    (_graph(lambda g: g["graph_module"]["module_call_graph"][0]["signature"].update(
        in_spec='[1, {"type": "os.system", "context": "null", "children_spec": []}]')), "in_spec"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), ATTACKS, ids=range(len(ATTACKS)))
def test_what_could_run_code_is_not_loaded(
    change: Callable[[dict[str, bytes]], object], said: str, folder: Path, tmp_path: Path
) -> None:
    path = _repacked(folder / "model.pt2", tmp_path / "model.pt2", change)
    with pytest.raises(DataError, match="it is not loaded, for that could run code") as caught:
        pt2.read(path)
    assert said in str(caught.value)


def test_pytorchs_own_reader_would_have_run_it(folder: Path, tmp_path: Path) -> None:
    """Else all of this guards against nothing."""
    ran = tmp_path / "ran"
    stream = io.BytesIO()
    torch.save(Bomb(ran), stream, pickle_module=pickle)
    path = _repacked(
        folder / "model.pt2", tmp_path / "model.pt2",
        lambda parts: parts.update({SAMPLE: stream.getvalue()}),
    )  # fmt: skip
    with pytest.raises(DataError, match="sample inputs, which are pickled"):
        pt2.read(path)
    assert not ran.exists()
    with contextlib.suppress(Exception):
        torch.export.load(str(path))
    assert ran.exists()


def test_packed_doubled_and_damaged_archives_are_refused(folder: Path, tmp_path: Path) -> None:
    source, path = folder / "model.pt2", tmp_path / "model.pt2"
    _repacked(source, path, lambda _: None, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="compressed or stand there twice"):
        pt2.read(path)
    _repacked(source, path, lambda _: None)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(GRAPH, b"{}")
    with pytest.raises(DataError, match="compressed or stand there twice"):
        pt2.read(path)
    for content in (b"", source.read_bytes()[:500], source.read_bytes()[2000:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="run: mlops train"):
            pt2.read(path)
    _repacked(source, path, lambda parts: parts.pop(WEIGHTS))
    with pytest.raises(DataError, match="run: mlops train"):
        pt2.read(path)


def test_no_path_of_the_machine_stands_in_an_archive(folder: Path) -> None:
    assert str(__file__).encode() not in (folder / "model.pt2").read_bytes()
