"""The servers that ours is compared with: each as its documentation says, one thread of ONNX.

MLflow comes with the project; the others are installed into environments of their own, below
`.mlops/bench/`. One that does not install or start is named with the reason, never guessed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.serving_client import Ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HOME = Path(".mlops/bench")
_READY_S = 90.0
_SESSION = """
import sys, os, numpy as np, onnxruntime
def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["MODEL"], options)
"""
_LITSERVE = (
    _SESSION
    + """
import litserve
class Model(litserve.LitAPI):
    def setup(self, device): self.session = session()
    def decode_request(self, request): return np.asarray(request["inputs"], dtype=np.uint8)
    def predict(self, images): return self.session.run(None, {"image": images})[0]
    def encode_response(self, output): return {"predictions": output.tolist()}
if __name__ == "__main__":
    server = litserve.LitServer(Model(api_path="/invocations"), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="error",
               generate_client_file=False)
"""
)
_BENTOML = (
    _SESSION
    + """
import bentoml
@bentoml.service(workers=1)
class Model:
    def __init__(self): self.session = session()
    @bentoml.api(route="/invocations")
    def predict(self, inputs: list) -> dict:
        images = np.asarray(inputs, dtype=np.uint8)
        return {"predictions": self.session.run(None, {"image": images})[0].tolist()}
"""
)
_MLSERVER = (
    _SESSION
    + """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse
class Model(MLModel):
    async def load(self):
        self.session = session()
        return True
    async def predict(self, payload):
        images = NumpyCodec.decode_input(payload.inputs[0])
        output = self.session.run(None, {"image": images})[0]
        outputs = [NumpyCodec.encode_output("probabilities", output)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""
)


@dataclass
class Peer:
    """A running server.

    Attributes:
        name: with its version.
        port: on loopback.
        process: the first of its processes.
        path: where it takes questions.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    path: str = "/invocations"

    def ask(self, images: NDArray[Any]) -> Ask:
        """Return a question in JSON: nested lists, or flat ones where the protocol has them."""
        content: dict[str, Any] = {"inputs": images.tolist()}
        if self.path.startswith("/v2"):
            tensor = {"name": "image", "shape": list(images.shape), "datatype": "UINT8"}
            content = {"inputs": [{**tensor, "data": images.ravel().tolist()}]}
        body = json.dumps(content, separators=(",", ":")).encode()
        return Ask(self.path, "application/json", body, len(images))

    def stop(self) -> None:
        """End it and its children."""
        import psutil

        family: list[Any] = [
            self.process,
            *psutil.Process(self.process.pid).children(recursive=True),
        ]
        for stop in ("terminate", "kill"):
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    getattr(one, stop)()
            psutil.wait_procs(family[1:], timeout=5)
        self.process.wait()


def begin(
    model: Path, example: NDArray[Any], scratch: Path, names: Sequence[str] = ()
) -> tuple[list[Peer], dict[str, str]]:
    """Start every peer that can be started.

    Args:
        model: the ONNX file, input `image`.
        example: one question's images, which each peer must answer.
        scratch: a folder to be thrown away.
        names: of the peers; none for all of them.

    Returns:
        The running peers, and why the others do not run.
    """
    running: list[Peer] = []
    failed: dict[str, str] = {}
    for name, start in _STARTS.items():
        if names and name not in names:
            continue
        folder = scratch / name
        folder.mkdir()
        try:
            peer = start(model, folder)
        except (OSError, subprocess.CalledProcessError) as error:
            failed[name] = _last_line(getattr(error, "stderr", None) or str(error))
            continue
        running.append(peer)
        if not _answers(peer, peer.ask(example)):
            running.pop().stop()
            failed[name] = _last_line((folder / "log").read_text(errors="replace"))
    return running, failed


def _mlflow(model: Path, folder: Path) -> Peer:
    import mlflow
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape = (-1, 28, 28, 1)
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("uint8"), shape, "image")]),
        Schema([TensorSpec(np.dtype("float32"), (-1, 10), "probabilities")]),
    )
    mlflow.onnx.save_model(
        onnx.load(model), str(folder / "model"), signature=signature,
        onnx_session_options={"intra_op_num_threads": 1},
    )  # fmt: skip
    words = ["-m", "mlflow", "models", "serve", "-m", str(folder / "model"), "--env-manager"]
    return _start(
        ("MLflow", mlflow.__version__), Path(sys.executable), folder, [*words, "local"], "-p"
    )


def _litserve(model: Path, folder: Path) -> Peer:
    python, version = _environment("litserve")
    (folder / "app.py").write_text(_LITSERVE)
    return _start(("LitServe", version), python, folder, ["app.py"], "", MODEL=str(model))


def _bentoml(model: Path, folder: Path) -> Peer:
    python, version = _environment("bentoml")
    (folder / "app.py").write_text(_BENTOML)
    words = ["-m", "bentoml", "serve", "app:Model", "--host", "127.0.0.1"]
    return _start(
        ("BentoML", version), python, folder, words, "--port", MODEL=str(model),
        BENTOML_HOME=str(folder), BENTOML_DO_NOT_TRACK="true",
    )  # fmt: skip


def _mlserver(model: Path, folder: Path) -> Peer:
    python, version = _environment("mlserver")
    (folder / "app.py").write_text(_MLSERVER)
    port, grpc, metrics = (_free_port() for _ in range(3))
    # No worker processes: for one small model they only cost a hop.
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": grpc,
                "metrics_port": metrics, "parallel_workers": 0, "debug": False}  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    model_settings = {"name": "cnn", "implementation": "app.Model"}
    (folder / "model-settings.json").write_text(json.dumps(model_settings))
    words = ["-c", "from mlserver.cli import main; main()", "start", "."]
    peer = _start(("MLServer", version), python, folder, words, None, MODEL=str(model))
    return Peer(peer.name, port, peer.process, "/v2/models/cnn/infer")


_STARTS = {"mlflow": _mlflow, "mlserver": _mlserver, "litserve": _litserve, "bentoml": _bentoml}


def _environment(package: str) -> tuple[Path, str]:
    """Return a Python that has a package, installed at the first call, and its version."""
    home = (HOME / package).resolve()
    python = home / "bin" / "python"
    if not (home / ".ready").exists():
        print(f"installing {package} into {HOME / package}", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
        words = ["-m", "pip", "install", "--quiet", package, "onnxruntime", "numpy"]
        subprocess.run([str(python), *words], check=True, capture_output=True, text=True)
        (home / ".ready").touch()
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    return python, done.stdout.strip()


def _start(
    name: tuple[str, str], python: Path, folder: Path, words: list[str], flag: str | None,
    **more: str,
) -> Peer:  # fmt: skip
    """Start a server; `flag` comes before the port, which is not passed if it is None."""
    port = _free_port()
    asked = [] if flag is None else [flag, str(port)] if flag else [str(port)]
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    path = f"{python.parent}{os.pathsep}{kept.get('PATH', '')}"
    environment = {**kept, "OMP_NUM_THREADS": "1", "PATH": path, "PYTHONPATH": str(folder), **more}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), *words, *asked], cwd=folder, env=environment, stdout=log, stderr=log
        )
    return Peer(" ".join(name), port, process)


def _answers(peer: Peer, ask: Ask) -> bool:
    end_s = time.monotonic() + _READY_S
    while time.monotonic() < end_s and peer.process.poll() is None:
        connection = HTTPConnection("127.0.0.1", peer.port, timeout=_READY_S)
        try:
            connection.request("POST", ask.path, ask.body, {"Content-Type": ask.kind})
            if connection.getresponse().status == 200:
                return True
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    return False


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _last_line(text: str) -> str:
    return ([line for line in text.splitlines() if line.strip()] or ["it did not answer"])[-1][:200]
