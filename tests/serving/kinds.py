"""Tiny real models of tables and texts, in service behind a real server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from mlops.adapters import files, seal
from mlops.core.features import arrays
from mlops.core.schema import Column, Schema, TableSchema, TextSchema, to_plain
from tests.serving.conftest import Running, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

TABLE = TableSchema(
    ("no", "yes"),
    (
        Column("age", "number"),
        Column("city", "category", ("Bern", "Genf", "NA")),
        Column("size of shoe", "number"),
    ),
)
PRICE = TableSchema((), TABLE.columns)
TEXT = TextSchema(("ham", "spam"), 24)
RECORDS: list[dict[str, Any]] = [
    {"age": 30, "city": "Bern", "size of shoe": 42.5},
    {"age": None, "city": "Genf", "size of shoe": 38},
    {"age": 61.5, "city": "NA", "size of shoe": -1e3},
]
WORDS = ["buy this now", "see you — später", "x" * 100]


class TinyModel:
    """NaN → 0, cast, matrix, softmax (sorted numbers for regression), in ONNX Runtime."""

    platform, runs_on = "onnxruntime_onnx", "ONNX Runtime, CPU"
    digest = "0" * 64

    def __init__(self, schema: Schema, version: str = "1", seed: int = 0) -> None:
        self.schema, self.version, self.row_s = schema, version, 0.0
        width = len(schema.classes) or 3
        size = int(np.prod(schema.shape))
        weights = np.random.default_rng(seed).normal(0, 0.05, (size, width)).astype(np.float32)
        last = ("Softmax", {"axis": 1}) if schema.classes else ("Identity", {})
        out = self.output = "probabilities" if schema.classes else "quantiles"
        nodes = [
            helper.make_node("Cast", ["in"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("IsNaN", ["numbers"], ["missing"]),
            helper.make_node("Where", ["missing", "zero", "numbers"], ["known"]),
            helper.make_node("MatMul", ["known", "weights"], ["logits"]),
            helper.make_node(last[0], ["logits"], [out], **last[1]),
        ]
        kind = TensorProto.DOUBLE if schema.dtype == np.float64 else TensorProto.UINT8
        graph = helper.make_graph(
            nodes, "tiny",
            [helper.make_tensor_value_info("in", kind, ["batch", *schema.shape])],
            [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["batch", width])],
            [numpy_helper.from_array(weights, "weights"),
             numpy_helper.from_array(np.float32(0).reshape(()), "zero")],
        )  # fmt: skip
        self.proto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
        )
        self._session = onnxruntime.InferenceSession(self.proto.SerializeToString())

    def predict(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        assert rows.dtype == self.schema.dtype
        found: NDArray[np.float32] = self._session.run(None, {"in": rows})[0]
        return found

    def expected(self, values: Any) -> NDArray[np.float32]:
        return self.predict(arrays(values, self.schema))


def make_table_version(home: Path, version: str, schema: Schema = TABLE) -> TinyModel:
    """Write a verified version of a table's model; return the model."""
    model, folder = TinyModel(schema, version), home / version
    folder.mkdir(parents=True)
    onnx.save(model.proto, folder / "model.onnx")
    files.write_json(folder / "model.json", {"schema": to_plain(schema)})
    golden = np.random.default_rng(9).normal(0, 1, (8, *schema.shape))
    np.savez(folder / "golden.npz", features=golden, probabilities=model.predict(golden))
    seal.write_manifest(folder)
    return model


def columns(records: list[dict[str, Any]] = RECORDS) -> tuple[NDArray[Any], ...]:
    """Return records of `TABLE` as `mlops.core.features` has values."""
    return (
        np.array([row["age"] for row in records], dtype=np.float64),
        np.array([row["city"] for row in records], dtype=object),
        np.array([row["size of shoe"] for row in records], dtype=np.float64),
    )


@contextmanager
def serving(tmp_path: Path, model: TinyModel, **changes: object) -> Iterator[Running]:
    """Serve one tiny model until the block ends."""
    with running(tmp_path, version=None, **changes) as server:
        server.app.batcher.model = model  # type: ignore[assignment]
        yield server


@contextmanager
def asking(folder: Path, schema: Schema) -> Iterator[httpx.Client]:
    """Give a client of a server whose model takes examples of a schema."""
    with (
        serving(folder, TinyModel(schema)) as server,
        httpx.Client(base_url=server.url, timeout=10) as client,
    ):
        yield client
