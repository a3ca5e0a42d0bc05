"""Score images with an ONNX file; loads neither torch nor mlflow, so that servers start fast."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

INPUT, OUTPUT = "image", "probabilities"
BATCH_ROWS = 256
"""Rows of one run: bounds memory; more rows are no faster per row on a CPU."""
LATENCY_RUNS = 200
"""Single rows that are timed; the first tenth warms up."""


class Session:
    """A model file in ONNX Runtime.

    Args:
        path: the ONNX file.
        threads: threads of one run; 1 is best where several processes serve.
        batch_rows: most rows of one run.

    Raises:
        DataError: if the file is missing, damaged, or does not map `image` (uint8, N × H × W × C)
            to `probabilities`.
    """

    def __init__(self, path: Path, threads: int = 1, batch_rows: int = BATCH_ROWS) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads that spin take the processor from whatever else runs here.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # Bytes, not a path: a file without external data needs no look at its folder.
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions share no base class
            what = str(error).splitlines()[0][:200]
            msg = f"{path}: not a model that ONNX Runtime can load ({what}); run: mlops train"
            raise DataError(msg) from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if (
            [i.name for i in inputs] != [INPUT]
            or inputs[0].type != "tensor(uint8)"
            or len(inputs[0].shape) != 4
            or OUTPUT not in [o.name for o in outputs]
        ):
            msg = f"{path}: must map {INPUT} (uint8, N × H × W × C) to {OUTPUT}; run: mlops train"
            raise DataError(msg)
        self.shape: tuple[int, int, int] = tuple(int(n) for n in inputs[0].shape[1:])  # type: ignore[assignment]
        self.classes = int(next(o for o in outputs if o.name == OUTPUT).shape[1])
        self._batch_rows = batch_rows

    def probabilities(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities, float32 (N, K), of uint8 images (N, H, W, C); N may be 0.

        Raises:
            DataError: if dtype or shape are not what the model takes.
        """
        if images_NHWC.dtype != np.uint8 or images_NHWC.shape[1:] != self.shape:
            found = f"{images_NHWC.dtype} {images_NHWC.shape}"
            wanted = f"(N, {', '.join(map(str, self.shape))})"
            raise DataError(f"images are {found}; the model takes uint8 {wanted}")
        out = np.empty((len(images_NHWC), self.classes), dtype=np.float32)
        for start in range(0, len(images_NHWC), self._batch_rows):
            part = slice(start, start + self._batch_rows)
            rows = np.ascontiguousarray(images_NHWC[part])
            out[part] = self._session.run([OUTPUT], {INPUT: rows})[0]
        return out


def latency_ms(session: Session, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the time for one row, in milliseconds, of many runs after warming up.

    Args:
        session: with one thread.
        images_NHWC: uint8, N ≥ 1, taken in turn.
    """
    times = []
    for run in range(LATENCY_RUNS):
        row = images_NHWC[run % len(images_NHWC)][None]
        began = time.perf_counter()
        session.probabilities(row)
        times.append(time.perf_counter() - began)
    return np.array(times[LATENCY_RUNS // 10 :]) * 1000.0
