"""Score examples with an ONNX file; loads neither torch nor mlflow, so that servers start fast."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from mlops.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

PROBABILITIES, QUANTILES = "probabilities", "quantiles"
"""Name of the output of a classification and of a regression."""
PRECISION, INT8 = "mlops.precision", "int8"
"""A file's own note that its weights and layer inputs are rounded, and to what."""
SETTING = "MLOPS_SERVE_PROVIDER"
Provider = Literal["cpu", "cuda"]
"""Where ONNX Runtime runs a model."""
_PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    # Without TF32: the golden answers were recorded in full single precision. cuDNN's algorithm
    # by its rules: by default it searches anew for each number of rows that happens to wait.
    "cuda": [
        ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}),
        "CPUExecutionProvider",
    ],
}
_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(double)": np.dtype(np.float64),
}
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
        provider: where it runs.
        outputs: names of which the file has one.

    Raises:
        DataError: if the file is missing, damaged, cannot run there, or does not map one input
            (uint8 or float64, N × shape) to one of the outputs.

    Attributes:
        input: name of the input: the kind of the examples.
        output: its name: `probabilities` or `quantiles` of a model.
        shape: of one example.
        dtype: of the input.
        answers: numbers per row: classes, or quantiles.
        platform: what the Open Inference protocol calls the runtime.
        runs_on: the runtime and its device, for people.
    """

    platform = "onnxruntime_onnx"

    def __init__(
        self,
        path: Path,
        threads: int = 1,
        batch_rows: int = BATCH_ROWS,
        provider: Provider = "cpu",
        outputs: tuple[str, ...] = (PROBABILITIES, QUANTILES),
    ) -> None:
        self._session = _opened(path, threads, provider)
        noted = self._session.get_modelmeta().custom_metadata_map.get(PRECISION)
        precision = ", int8" if noted == INT8 else ""  # nothing else that a file says of itself
        self.runs_on = f"ONNX Runtime, {provider.upper()}{precision}"
        inputs = self._session.get_inputs()
        found = [o for o in self._session.get_outputs() if o.name in outputs]
        if len(inputs) != 1 or inputs[0].type not in _DTYPES or len(found) != 1:
            msg = f"{path}: must map one input of uint8 or float64 to {' or '.join(outputs)}"
            raise DataError(f"{msg}; run: mlops train")
        self.input, self.output = str(inputs[0].name), str(found[0].name)
        self.dtype = _DTYPES[inputs[0].type]
        self.shape: tuple[int, ...] = tuple(int(n) for n in inputs[0].shape[1:])
        self.answers = int(found[0].shape[1])
        self._batch_rows = batch_rows

    def probabilities(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return answers, float32 (N, K), of examples (N, *shape); N may be 0.

        Probabilities of the classes; of a regression the quantiles.

        Raises:
            DataError: if dtype or shape are not what the model takes.
        """
        need(self, features)
        out = np.empty((len(features), self.answers), dtype=np.float32)
        for start in range(0, len(features), self._batch_rows):
            part = slice(start, start + self._batch_rows)
            rows = np.ascontiguousarray(features[part])
            out[part] = self._session.run([self.output], {self.input: rows})[0]
        return out


def _opened(path: Path, threads: int, provider: Provider) -> InferenceSession:
    """Open a model file where it is to run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads that spin take the processor from whatever else runs here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider == "cuda":
        _load_cuda()
    try:
        # Bytes, not a path: a file without external data needs no look at its folder.
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=_PROVIDERS[provider]
        )
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions share no base class
        what = str(error).splitlines()[0][:200]
        msg = f"{path}: not a model that ONNX Runtime can load ({what}); run: mlops train"
        raise DataError(msg) from None
    if provider == "cuda" and "CUDA" not in str(session.get_providers()[0]):
        msg = f"{path}: ONNX Runtime did not take the GPU"
        raise DataError(f"{msg}; install onnxruntime-gpu[cuda,cudnn], or set {SETTING}=cpu")
    return session


class Takes(Protocol):
    """What a model takes."""

    input: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def need(model: Takes, features: NDArray[Any]) -> None:
    """Refuse what a model does not take.

    Raises:
        DataError: if dtype or shape are not the model's.
    """
    if features.dtype != model.dtype or features.shape[1:] != model.shape:
        found = f"{features.dtype} {features.shape}"
        wanted = f"{model.dtype} (N, {', '.join(map(str, model.shape))})"
        raise DataError(f"the {model.input}s are {found}; the model takes {wanted}")


class Timed(Protocol):
    """Something that answers examples."""

    def probabilities(self, features: NDArray[Any], /) -> NDArray[np.float32]:
        """Return answers, float32 (N, K)."""


def choose_provider(asked: Literal["cpu", "cuda", "auto"]) -> Provider:
    """Return where ONNX Runtime is to run, by the setting and by what is there.

    Raises:
        UsageError: if a GPU is asked for, and there is none or no runtime for it.
    """
    if asked == "cpu":
        return "cpu"
    lacks = lacking()
    if lacks and asked == "cuda":
        raise UsageError(f"{SETTING}=cuda: {lacks}, or set {SETTING}=auto or cpu")
    return "cpu" if lacks else "cuda"


def lacking() -> str:
    """Return what is in the way of a GPU here, with a remedy if there is one; empty: nothing."""
    if not gpus():  # asked first: where there is none, the runtime need not be loaded
        return "no NVIDIA GPU answers on this machine"
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return ""
    return "this onnxruntime has no CUDA provider; install onnxruntime-gpu"


def _load_cuda() -> None:
    """Load CUDA's libraries from where PyTorch's wheels put them: no loader looks there itself."""
    import contextlib
    import io

    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        onnxruntime.preload_dlls()


def gpus() -> int:
    """Count the GPUs that CUDA's driver sees."""
    import ctypes

    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def latency_ms(session: Timed, features: NDArray[Any]) -> NDArray[np.float64]:
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
