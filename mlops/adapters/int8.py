"""Round an ONNX file's weights and layer inputs to eight bits, and keep it only if that is cheap.

Static quantisation by ONNX Runtime: the ranges of the layers' inputs come from rows that the model
was trained on; whether it is cheap is told on rows that it was not fitted on. What is kept is the
one model file: evaluation, gate and server see these very bytes, and no others.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import replacing
from mlops.adapters.onnx_session import INT8, PRECISION, QUANTILES, Session, latency_ms
from mlops.adapters.runtimes import ONNX
from mlops.core.rounding import Loss, loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlops.adapters.snapshot import Rows

CALIBRATION_ROWS = 512
"""Rows whose ranges are looked at: more have moved no range that mattered."""
_LAYERS = ("Conv", "Gemm", "MatMul")
_BATCH = 64


@dataclass(frozen=True)
class Rounded:
    """What came of it.

    Attributes:
        kept: whether the model file is the rounded one.
        loss: what it costs, see `mlops.core.rounding.Loss`.
        size_bytes: of the file before and after.
        latency_ms: median for one row, before and after, on one thread here.
    """

    kept: bool
    loss: Loss
    size_bytes: tuple[int, int]
    latency_ms: tuple[float, float]

    def words(self, allowed: float) -> str:
        """Return the part of a step's line that tells it."""
        found, (before, after) = self.loss, self.size_bytes
        cost = f"{100 * found.value:.2g} %, at most {100 * found.upper:.2g} %"
        on = f"on {found.rows} validation rows"
        if not self.kept:
            return (
                f"int8 not taken: it may cost {100 * found.upper:.2g} % {on}, and train.int8 "
                f"allows {100 * allowed:.2g} %"
            )
        ratio = self.latency_ms[1] / self.latency_ms[0]
        return (
            f"int8: costs {cost} {on}; agrees on {100 * found.agreement:.1f} %; "
            f"{after / before:.2f} of the size, {ratio:.2f} of the time"
        )


def round_model(folder: Path, seen: NDArray[Any], held: Rows, allowed: float) -> Rounded:
    """Quantise `model.onnx` of a folder in place, if that costs no more than is allowed.

    Args:
        folder: with the file.
        seen: features (N, *shape), N ≥ 1, that the model was trained on.
        held: rows, N ≥ 1, that it was not fitted on.
        allowed: largest loss, see `Loss.upper`.
    """
    path = folder / ONNX
    whole = Session(path)
    some = np.unique(np.linspace(0, len(seen) - 1, CALIBRATION_ROWS).astype(np.int64))
    content = _quantised(path, whole.input, seen[some])
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / ONNX).write_bytes(content)
        small = Session(Path(scratch) / ONNX)
    found = loss(
        whole.probabilities(held.features), small.probabilities(held.features), held.label,
        held.key, regression=whole.output == QUANTILES,
    )  # fmt: skip
    times = [float(np.median(latency_ms(one, held.features))) for one in (whole, small)]
    kept = found.upper <= allowed  # so that NaN is refused too
    size = path.stat().st_size
    if kept:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return Rounded(kept, found, (size, len(content)), (times[0], times[1]))


def _quantised(path: Path, name: str, features: NDArray[Any]) -> bytes:
    """Return the file in eight bits, with a note of it inside."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Batches(CalibrationDataReader):  # type: ignore[misc] # ships no types
        def __init__(self) -> None:
            self._rest: Iterator[dict[str, NDArray[Any]]] = (
                {name: features[at : at + _BATCH]} for at in range(0, len(features), _BATCH)
            )

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._rest, None)

    logging.getLogger().addFilter(_quiet)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / ONNX
            quantize_static(
                onnx.load(path), out, Batches(), op_types_to_quantize=list(_LAYERS),
                per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                # Seven bits of a weight: with eight, processors without VNNI let sums overflow,
                # and would answer otherwise than the one on which the gate judged.
                reduce_range=True,
            )  # fmt: skip
            model = onnx.load(out)
    finally:
        logging.getLogger().removeFilter(_quiet)
    onnx.helper.set_model_props(model, {PRECISION: INT8})
    content: bytes = model.SerializeToString()
    return content


def _quiet(record: logging.LogRecord) -> bool:
    """Drop the advice to pre-process: it brought no gain on the networks of this project."""
    return "pre-processing" not in record.getMessage()
