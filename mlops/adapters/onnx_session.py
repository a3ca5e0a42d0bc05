"""Score examples with an ONNX file; loads neither torch nor mlflow, so that servers start fast."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PROBABILITIES, QUANTILES = "probabilities", "quantiles"
"""Name of the output of a classification and of a regression."""
_DTYPES = {"tensor(uint8)": np.dtype(np.uint8), "tensor(double)": np.dtype(np.float64)}
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
        outputs: names of which the file has one.

    Raises:
        DataError: if the file is missing, damaged, or does not map one input (uint8 or float64,
            N × shape) to one of the outputs.

    Attributes:
        input: name of the input: the kind of the examples.
        output: its name: `probabilities` or `quantiles` of a model.
        shape: of one example.
        dtype: of the input.
        answers: numbers per row: classes, or quantiles.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 1,
        batch_rows: int = BATCH_ROWS,
        outputs: tuple[str, ...] = (PROBABILITIES, QUANTILES),
    ) -> None:
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
        inputs = self._session.get_inputs()
        found = [o for o in self._session.get_outputs() if o.name in outputs]
        if len(inputs) != 1 or inputs[0].type not in _DTYPES or len(found) != 1:
            msg = f"{path}: must map one input of uint8 or float64 to {' or '.join(outputs)}"
            raise DataError(f"{msg}; run: mlops train")
        self.input, self.output = str(inputs[0].name), str(found[0].name)
        self.dtype = _DTYPES[inputs[0].type]
        self.shape = tuple(int(n) for n in inputs[0].shape[1:])
        self.answers = int(found[0].shape[1])
        self._batch_rows = batch_rows

    def probabilities(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return answers, float32 (N, K), of examples (N, *shape); N may be 0.

        Probabilities of the classes; of a regression the quantiles.

        Raises:
            DataError: if dtype or shape are not what the model takes.
        """
        if features.dtype != self.dtype or features.shape[1:] != self.shape:
            found = f"{features.dtype} {features.shape}"
            wanted = f"{self.dtype} (N, {', '.join(map(str, self.shape))})"
            raise DataError(f"the {self.input}s are {found}; the model takes {wanted}")
        out = np.empty((len(features), self.answers), dtype=np.float32)
        for start in range(0, len(features), self._batch_rows):
            part = slice(start, start + self._batch_rows)
            rows = np.ascontiguousarray(features[part])
            out[part] = self._session.run([self.output], {self.input: rows})[0]
        return out


def latency_ms(session: Session, features: NDArray[Any]) -> NDArray[np.float64]:
    """Return the time for one row, in milliseconds, of many runs after warming up.

    Args:
        session: with one thread.
        features: (N, *shape), N ≥ 1, taken in turn.
    """
    times = []
    for run in range(LATENCY_RUNS):
        row = features[run % len(features)][None]
        began = time.perf_counter()
        session.probabilities(row)
        times.append(time.perf_counter() - began)
    return np.array(times[LATENCY_RUNS // 10 :]) * 1000.0
