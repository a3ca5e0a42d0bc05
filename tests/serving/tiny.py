"""A tiny model version made without torch: flatten → matrix → softmax, on uint8 images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
import sqlalchemy as sa
from onnx import TensorProto, helper, numpy_helper

from mlops.adapters import files, seal
from mlops.adapters.onnx_session import Session
from mlops.adapters.sql.tables import predictions
from mlops.serving.model import Pointer, write_pointer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (4, 4, 1)
CLASSES = ("zero", "one", "two")
Fault = Literal["", "brittle", "slow"]
"""Brittle: the answer is no number where a pixel is 0. Slow: every call costs some 30 ms."""
_WIDE, _TIMES = 1024, 60


def logged_ids(engine: sa.Engine, project: str, version: str = "1") -> list[str]:
    """Return the ids of a version's predictions, in the log's order."""
    mine = (predictions.c.project == project) & (predictions.c.version == version)
    query = sa.select(predictions.c.id).where(mine).order_by(predictions.c.seq)
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def write_model(
    path: Path, seed: int, shape: tuple[int, int, int] = SHAPE, fault: Fault = ""
) -> None:
    size = int(np.prod(shape))
    weights = np.random.default_rng(seed).normal(0, 0.01, (size, len(CLASSES))).astype(np.float32)
    more, constants = _faulty(size, fault)
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        *more,
        helper.make_node("MatMul", ["faulty" if fault else "flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "weights"), *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def _faulty(size: int, fault: Fault) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return nodes that make `faulty` of `flat`: the same numbers, in a bad way."""
    node = helper.make_node
    if fault == "brittle":
        return [
            node("ReduceMin", ["flat"], ["least"], axes=[1], keepdims=1),
            node("Div", ["least", "least"], ["one"]), node("Mul", ["flat", "one"], ["faulty"]),
        ], []  # fmt: skip
    if fault == "slow":
        names = ["w0", *(f"w{n % 2 + 1}" for n in range(_TIMES)), "w3"]
        ways = [("flat" if n == 0 else f"h{n}", name, f"h{n + 1}") for n, name in enumerate(names)]
        sizes = {"w0": (size, _WIDE), "w1": (_WIDE,) * 2, "w2": (_WIDE,) * 2, "w3": (_WIDE, size)}
        return [
            *(node("MatMul", [given, name], [made]) for given, name, made in ways),
            node("Add", ["flat", f"h{len(ways)}"], ["faulty"]),
        ], [
            numpy_helper.from_array(np.zeros(shape, np.float32), name)
            for name, shape in sizes.items()
        ]  # fmt: skip
    return [], []


def images(rows: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, *shape), dtype=np.uint8)


def make_version(
    home: Path,
    version: str,
    *,
    seed: int = 0,
    shape: tuple[int, int, int] = SHAPE,
    wrong: float = 0,
    classes: tuple[str, ...] = CLASSES,
    fault: Fault = "",
) -> Path:
    """Write a verified version's folder; `wrong` falsifies its golden probabilities."""
    folder = home / version
    folder.mkdir(parents=True)
    write_model(folder / "model.onnx", seed, shape, fault)
    height, width, channels = shape
    files.write_json(folder / "model.json", {
        "schema": {"kind": "image", "classes": list(classes), "height": height, "width": width,
                   "channels": channels},
    })  # fmt: skip
    golden = np.maximum(images(8, 99, shape), 1 if fault else 0)
    scores = Session(folder / "model.onnx").probabilities(golden)
    np.savez(folder / "golden.npz", features=golden, probabilities=scores + np.float32(wrong))
    seal.write_manifest(folder)
    return folder


def point(home: Path, version: str, folder: Path | None = None) -> None:
    """Move the pointer to a version, as the follower does."""
    folder = folder or home / version
    digest = str(files.read_json(folder / "manifest.json")["digest"])
    write_pointer(home, Pointer(version, str(folder), digest, 1.0))
