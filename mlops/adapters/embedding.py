"""`embedding.onnx`: a graph from raw input to the columns of `mlops.core.embedding`.

It is cut out of the model's own file up to the input of the last linear layer, so that it shares
every number with what serves, for any network; and it is a file of its own, so that a server
neither computes nor answers anything more.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import replacing
from mlops.adapters.onnx_session import Session
from mlops.core.embedding import FIT_ROWS, find_directions, names
from mlops.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.embedding import Directions

FILE = "embedding.onnx"
"""Beside `model.onnx`; versions of models that have no last linear layer lack it."""
_OUTPUT = "mlops_watched"  # no exporter names a value so: a network's own may be `embedding`
_FINAL = "mlops_watched_columns"


def write_embedding(folder: Path, features: NDArray[Any]) -> int:
    """Write `embedding.onnx` beside `model.onnx`; return how many columns it gives.

    Args:
        folder: of the candidate.
        features: (N, *shape), N ≥ 1, of rows that the model was not fitted on and that are not
            the reference.

    Returns:
        0, and there is no file, where the model has no last linear layer of rows × features, or
        its input never varies.
    """
    import onnx

    model, path = onnx.load(folder / "model.onnx"), folder / FILE
    layer = _cut(model)
    if layer is None:
        return 0
    _write(model, path)
    some = np.linspace(0, len(features) - 1, min(len(features), FIT_ROWS)).astype(np.int64)
    found = find_directions(Session(path, outputs=(_OUTPUT,)).probabilities(features[some]))
    if found is None:
        path.unlink()
        return 0
    _append(model, layer, found)
    _write(model, path)
    return len(found.scale) + 1


class Embedding:
    """A version's embedding, ready to be computed.

    Args:
        path: of `embedding.onnx`.

    Raises:
        DataError: if the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._session = Session(path, outputs=(_FINAL,))
        self.names = names(self._session.answers)

    def of(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return the columns of rows (N, *shape): float64, (N, D)."""
        return self._session.probabilities(features).astype(np.float64)


def read_embedding(folder: Path) -> Embedding | None:
    """Return the embedding of a version; nothing where it was registered without one.

    Raises:
        DataError: if its file is damaged.
    """
    path = folder / FILE
    return Embedding(path) if path.is_file() else None


def read_layer(folder: Path) -> Session | None:
    """Return the whole layer that a version's embedding looks at; nothing where there is none.

    Raises:
        DataError: if its file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise DataError(f"{path}: no embedding ({error}); run: mlops train") from None
    centre = next((i for i in model.graph.initializer if i.name == f"{_OUTPUT}_centre"), None)
    if centre is None:
        return None
    _set_output(model.graph, _OUTPUT, centre.dims[0])
    with tempfile.TemporaryDirectory() as place:
        layer = Path(place) / FILE
        _write(model, layer)
        return Session(layer, outputs=(_OUTPUT,))


def _cut(model: Any) -> str | None:
    """Cut a model to the input of its last linear layer; return that input's name."""
    from onnx import TensorProto, helper, shape_inference

    graph = model.graph
    weights = {one.name: tuple(one.dims) for one in graph.initializer}
    linear = [n for n in graph.node if n.op_type in ("Gemm", "MatMul") and n.input[1] in weights]
    if not linear:
        return None
    last = linear[-1]
    shapes = shape_inference.infer_shapes(model).graph.value_info
    ranks = {one.name: len(one.type.tensor_type.shape.dim) for one in shapes}
    turned = {one.name: one.i for one in last.attribute}
    # A MatMul may be of rows × words × features: what stands for a row is then not told.
    if turned.get("transA") or (last.op_type == "MatMul" and ranks.get(last.input[0]) != 2):
        return None
    layer, width = str(last.input[0]), weights[last.input[1]][1 if turned.get("transB") else 0]
    needed, kept = {layer}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    initializers = [one for one in graph.initializer if one.name in needed]
    for field, content in (("node", kept[::-1]), ("initializer", initializers)):
        graph.ClearField(field)
        getattr(graph, field).extend(content)
    graph.node.append(helper.make_node("Cast", [layer], [_OUTPUT], to=TensorProto.FLOAT))
    _set_output(graph, _OUTPUT, width)
    return _OUTPUT


def _append(model: Any, layer: str, found: Directions) -> None:
    """Go on from a layer to its place along each direction, and its distance from all of them."""
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {
        "centre": found.centre, "axes": found.axes, "back": np.ascontiguousarray(found.axes.T),
        "scale": found.scale, "across": np.array([1], dtype=np.int64),
    }  # fmt: skip
    graph.initializer.extend(
        numpy_helper.from_array(value, f"{_OUTPUT}_{name}") for name, value in constants.items()
    )
    for kind, inputs, output in (
        ("Sub", (layer, "centre"), "centred"), ("MatMul", ("centred", "axes"), "along"),
        ("Div", ("along", "scale"), "scaled"), ("MatMul", ("along", "back"), "explained"),
        ("Sub", ("centred", "explained"), "rest"), ("ReduceL2", ("rest", "across"), "beyond"),
        ("Concat", ("scaled", "beyond"), "columns"),
    ):  # fmt: skip
        inner = [name if name == layer else f"{_OUTPUT}_{name}" for name in inputs]
        more = {"axis": 1} if kind == "Concat" else {}
        graph.node.append(helper.make_node(kind, inner, [f"{_OUTPUT}_{output}"], **more))
    _set_output(graph, _FINAL, len(found.scale) + 1)


def _set_output(graph: Any, name: str, width: int) -> None:
    from onnx import TensorProto, helper

    graph.ClearField("output")
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]))


def _write(model: Any, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
