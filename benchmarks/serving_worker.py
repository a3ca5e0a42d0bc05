"""A real serving worker in a process of its own, for benchmarks."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import onnx
import psutil
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mlops.adapters import seal
from mlops.adapters.onnx_session import Session
from mlops.serving.config import Limits, ServingConfig
from mlops.serving.supervisor import bind
from tests.serving.tiny import CLASSES, images, make_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.adapters.onnx_session import Provider

SHAPE = (28, 28, 1)
_READY_S = 30.0
_WRITER = """
import sys, time
from pathlib import Path
from mlops.serving.writer import Writer
Writer(Path(sys.argv[1]), "bench", sys.argv[2]).start()
while True: time.sleep(60)
"""
_LAYERS = 36  # through the same matrix, so that a row costs time and the file little


class Worker:
    """One worker on a free port, until the block ends.

    Attributes:
        port: where it listens.
        ready_s: from its start to its first answer.
        process: to look at its memory.
        spool: where it leaves its rows.
    """

    def __init__(
        self, home: Path, limits: Limits | None = None, url: str = "", token: str = "",
        provider: Provider = "cpu",
    ) -> None:  # fmt: skip
        self._counts = home.with_name(f"{home.name}-metrics")
        self.spool = home.with_name(f"{home.name}-spool")
        self._config = ServingConfig(
            "bench", str(home), str(self.spool), url or f"sqlite:///{home}.db",
            limits=limits or Limits(), watch_s=0.05, token=token, provider=provider,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._listener = bind("127.0.0.1", 0)
        self.port = int(self._listener.getsockname()[1])
        fd = self._listener.fileno()
        environment = {
            **os.environ, **self._config.environment(), "OMP_NUM_THREADS": "1",
            "MLOPS_LOG_LEVEL": "error", "PYTHONPATH": str(Path.cwd()),
            "PROMETHEUS_MULTIPROC_DIR": str(self._counts),
        }  # fmt: skip
        self._counts.mkdir(exist_ok=True)
        started = time.perf_counter()
        command = [sys.executable, "-m", "mlops.serving.worker", str(fd)]
        self._child = subprocess.Popen(command, pass_fds=[fd], env=environment)
        self.process = psutil.Process(self._child.pid)
        while not self._answers():
            assert time.perf_counter() - started < _READY_S
            time.sleep(0.005)
        self.ready_s = time.perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.wait(40)
        self.close()

    def close(self) -> None:
        """Take nobody's connection any more: it is this process that holds the socket."""
        self._listener.close()

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_READY_S)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        finally:
            connection.close()


@contextmanager
def running(*words: str, listening: int | None = None) -> Iterator[None]:
    """Run Python beside, with a socket if it needs one, until the block ends."""
    descriptors = () if listening is None else (listening,)
    process = subprocess.Popen([sys.executable, *words], pass_fds=descriptors)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def writing(spool: Path, url: str) -> AbstractContextManager[None]:
    """Move a worker's rows into the database meanwhile, in a process of its own."""
    return running("-c", _WRITER, str(spool), url)


def cnn_version(home: Path, version: str) -> Path:
    """Write a verified version of 206,922 parameters: two strided convolutions, two layers."""
    rng = np.random.default_rng(int(version))
    weights: list[TensorProto] = []

    def drawn(name: str, *shape: int) -> str:
        # As a network begins: so that answers differ from row to row.
        fan_in = np.prod(shape[1:] if len(shape) == 4 else shape[:-1])
        spread = 0.05 if len(shape) == 1 else np.sqrt(2.0 / fan_in)
        values = rng.normal(0, spread, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        return name

    weights.append(numpy_helper.from_array(np.array(1 / 255, dtype=np.float32), "scale"))
    strides = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["numbers", "scale"], ["x"]),
        helper.make_node("Transpose", ["x"], ["x0"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Conv", ["x0", drawn("k1", 16, 1, 3, 3), drawn("b1", 16)], ["c1"], **strides
        ),
        helper.make_node("Relu", ["c1"], ["x1"]),
        helper.make_node(
            "Conv", ["x1", drawn("k2", 32, 16, 3, 3), drawn("b2", 32)], ["c2"], **strides
        ),
        helper.make_node("Relu", ["c2"], ["x2"]),
        helper.make_node("Flatten", ["x2"], ["x3"]),
        helper.make_node("Gemm", ["x3", drawn("w1", 1568, 128), drawn("b3", 128)], ["d1"]),
        helper.make_node("Relu", ["d1"], ["x4"]),
        helper.make_node("Gemm", ["x4", drawn("w2", 128, 10), drawn("b4", 10)], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    classes = tuple(str(n) for n in range(10))
    folder = make_version(home, version, shape=SHAPE, classes=classes)
    _replace_model(folder, "cnn", nodes, weights, len(classes))
    return folder


def _replace_model(
    folder: Path, name: str, nodes: list[NodeProto], weights: list[TensorProto], classes: int
) -> None:
    """Put another graph into a version's folder, and make its golden answers anew."""
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *SHAPE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
        weights,
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")
    golden = images(8, 99, SHAPE)
    scores = Session(folder / "model.onnx").probabilities(golden)
    np.savez(folder / "golden.npz", features=golden, probabilities=scores)
    seal.write_manifest(folder)


def heavy_version(home: Path, version: str, width: int = 2048) -> None:
    """Write a verified version whose row costs some milliseconds: a matrix of `width` squared."""
    folder = make_version(home, version, shape=SHAPE)
    rng = np.random.default_rng(0)
    sizes = [int(np.prod(SHAPE)), width, width, len(CLASSES)]
    weights = [
        numpy_helper.from_array(
            (rng.normal(0, 1.0, pair) / np.sqrt(pair[0]) / (1 if n else 128)).astype(np.float32),
            f"w{n}",
        )
        for n, pair in enumerate(itertools.pairwise(sizes))
    ]
    layers = [0, *([1] * _LAYERS), 2]
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["h0"]),
        *(
            helper.make_node("MatMul", [f"h{n}", f"w{w}"], [f"h{n + 1}"])
            for n, w in enumerate(layers)
        ),
        helper.make_node("Softmax", [f"h{len(layers)}"], ["probabilities"], axis=1),
    ]
    _replace_model(folder, "heavy", nodes, weights, len(CLASSES))
