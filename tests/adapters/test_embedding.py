from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlops.adapters.embedding import read_embedding, write_embedding
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 4, 4, 1), dtype=np.uint8)
FIRST, LAST = (RNG.normal(0, 0.1, s).astype(np.float32) for s in ((16, 9), (3, 9)))


def write_model(folder: Path, **changes: Any) -> None:
    """Write a network of two linear layers; what is changed replaces a part of it."""
    told = {
        "flatten": "Flatten",
        "first": FIRST,
        "last": ("Gemm", {"transB": 1}),
        "weights": LAST,
        **changes,
    }
    kind, attributes = told["last"]
    nodes = [
        helper.make_node("Cast", ["image"], ["number"], to=TensorProto.FLOAT),
        helper.make_node(told["flatten"], ["number"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["linear"]),
        helper.make_node("Relu", ["linear"], ["embedding"]),
        helper.make_node(kind, ["embedding", "weights"], ["logits"], **attributes),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 4, 4, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(np.ascontiguousarray(told[name]), name)
            for name in ("first", "weights")
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def hidden(images: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(images.reshape(len(images), -1).astype(np.float32) @ FIRST, 0.0))


def test_the_last_hidden_layer_is_seen_along_directions_and_beyond_them(tmp_path: Path) -> None:
    write_model(tmp_path)
    before = (tmp_path / "model.onnx").read_bytes()
    assert write_embedding(tmp_path, IMAGES) == 5
    assert (tmp_path / "model.onnx").read_bytes() == before
    found = read_embedding(tmp_path)
    assert found is not None
    assert found.names == (*(f"embedding {n} of 4" for n in (1, 2, 3, 4)), "embedding beyond the 4")
    seen = found.of(IMAGES)
    assert np.allclose(seen[:, :4].mean(axis=0), 0.0, atol=1e-4)
    assert np.allclose(seen[:, :4].std(axis=0), 1.0, atol=1e-4)
    h = hidden(IMAGES)
    total = ((h - h.mean(axis=0)) ** 2).sum()
    variance = np.sort(np.linalg.eigvalsh(np.cov(h.T, bias=True)))[::-1] * len(h)
    assert (seen[:, 4] ** 2).sum() == pytest.approx(total - variance[:4].sum(), rel=1e-3)
    assert found.of(IMAGES[:0]).shape == (0, 5)
    graph = onnx.load(tmp_path / "embedding.onnx").graph
    assert "weights" not in {one.name for one in graph.initializer}  # only what is needed


@pytest.mark.parametrize(
    "changes",
    [
        {"first": np.zeros((16, 9), dtype=np.float32)},  # nothing varies
        {
            "flatten": "Identity", "first": FIRST[:1], "last": ("MatMul", {}), "weights": LAST.T,
        },  # rows × pixels × features: what stands for a row is not told
        {"last": ("Gemm", {"transA": 1, "transB": 1})},
    ],
)  # fmt: skip
def test_a_model_without_a_layer_to_look_at_has_none(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    write_model(tmp_path, **changes)
    assert write_embedding(tmp_path, IMAGES) == 0
    assert read_embedding(tmp_path) is None


def test_a_plain_product_is_a_linear_layer(tmp_path: Path) -> None:
    write_model(tmp_path, last=("MatMul", {}), weights=LAST.T)
    assert write_embedding(tmp_path, IMAGES) == 5


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path)
    write_embedding(tmp_path, IMAGES)
    path = tmp_path / "embedding.onnx"
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(DataError, match=r"embedding.onnx: not a model"):
        read_embedding(tmp_path)
