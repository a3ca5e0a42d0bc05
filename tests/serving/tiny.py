"""A tiny model version made without torch: flatten → matrix → softmax, on uint8 images."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def logged_ids(engine: sa.Engine, project: str, version: str = "1") -> list[str]:
    """Return the ids of a version's predictions, in the log's order."""
    mine = (predictions.c.project == project) & (predictions.c.version == version)
    query = sa.select(predictions.c.id).where(mine).order_by(predictions.c.seq)
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def write_model(path: Path, seed: int, shape: tuple[int, int, int] = SHAPE) -> None:
    size = int(np.prod(shape))
    weights = np.random.default_rng(seed).normal(0, 0.01, (size, len(CLASSES))).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


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
) -> Path:
    """Write a verified version's folder; `wrong` falsifies its golden probabilities."""
    folder = home / version
    folder.mkdir(parents=True)
    write_model(folder / "model.onnx", seed, shape)
    height, width, channels = shape
    files.write_json(folder / "model.json", {
        "schema": {"kind": "image", "classes": list(classes), "height": height, "width": width,
                   "channels": channels},
    })  # fmt: skip
    golden = images(8, 99, shape)
    scores = Session(folder / "model.onnx").probabilities(golden)
    np.savez(folder / "golden.npz", features=golden, probabilities=scores + np.float32(wrong))
    seal.write_manifest(folder)
    return folder


def point(home: Path, version: str, folder: Path | None = None) -> None:
    """Move the pointer to a version, as the follower does."""
    folder = folder or home / version
    digest = str(files.read_json(folder / "manifest.json")["digest"])
    write_pointer(home, Pointer(version, str(folder), digest, 1.0))
