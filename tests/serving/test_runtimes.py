"""What runs a version: ONNX Runtime on the CPU or on a GPU, or PyTorch; and that it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import onnxruntime
import pytest

from mlops.adapters import files, onnx_session, seal
from mlops.adapters.onnx_session import Session, choose_provider
from mlops.adapters.runtimes import open_model
from mlops.errors import DataError, UnverifiedModel, UsageError
from mlops.layout import Layout
from mlops.serving import metrics
from mlops.serving.model import load
from mlops.serving.pointer import Pointer
from mlops.serving.setup import serving_config
from mlops.settings import Settings
from tests import entrants
from tests.serving.conftest import running
from tests.serving.tiny import images, make_version, point

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Return a version whose model file is a `torch.export` archive."""
    folder = tmp_path / "serving" / "1"
    make_version(folder.parent, "1")
    (folder / "model.onnx").unlink()
    weights = np.random.default_rng(0).normal(0, 1, (16, 3)).astype(np.float32)
    entrants.write_exported(folder / "model.pt2", weights)
    golden = images(8, 99)
    scores = open_model(folder).probabilities(golden)
    np.savez(folder / "golden.npz", features=golden, probabilities=scores)
    seal.write_manifest(folder)
    return folder


def test_a_torch_export_version_is_served_and_says_so(exported: Path, tmp_path: Path) -> None:
    point(exported.parent, "1")
    rows = images(3)
    with running(tmp_path, version=None) as server, httpx.Client(base_url=server.url) as client:
        answer = client.post("/invocations", json={"inputs": rows.tolist()}).json()
        told = client.get("/v2/models/tiny").json()
        page = client.get("/").text
    expected = open_model(exported).probabilities(rows)
    found = answer["predictions"]["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert told["platform"] == "pytorch_export"
    assert "torch.export, CPU" in page
    known = {name: metrics.RUNTIME.labels(name)._value.get() for name in (
        "torch.export, CPU", "ONNX Runtime, CPU")}  # fmt: skip
    assert known == {"torch.export, CPU": 1.0, "ONNX Runtime, CPU": 0.0}


def test_a_changed_archive_is_not_even_opened(exported: Path) -> None:
    digest = str(files.read_json(exported / "manifest.json")["digest"])
    with (exported / "model.pt2").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(UnverifiedModel, match=r"model.pt2: does not match manifest.json"):
        load(Pointer("1", str(exported), digest, 1.0))


def _serving(root: Path, **changes: Any) -> str:
    return serving_config(Layout(root), Settings(**changes), host="127.0.0.1", workers=1).provider


def test_the_provider_is_a_setting(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this machine's real runtime; where it knows CUDA, of whether a GPU answers."""
    assert _serving(root, serve_provider="cpu") == "cpu"
    has = "CUDAExecutionProvider" in onnxruntime.get_available_providers() and onnx_session.gpus()
    assert _serving(root) == ("cuda" if has else "cpu")
    if has:
        return
    with pytest.raises(UsageError, match=r"MLOPS_SERVE_PROVIDER=cuda: .*auto or cpu"):
        _serving(root, serve_provider="cuda")
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    for answering, found, words in (
        (0, both, "no NVIDIA GPU answers"), (1, both[1:], "install onnxruntime-gpu"),
    ):  # fmt: skip
        monkeypatch.setattr(onnx_session, "gpus", lambda n=answering: n)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda p=found: p)
        assert choose_provider("auto") == "cpu"
        with pytest.raises(UsageError, match=words):
            choose_provider("cuda")


def test_cuda_is_loaded_before_a_session_that_is_told_how_to_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here without a GPU: what ONNX Runtime is asked for, in which order."""
    seen: list[Any] = []
    real = onnxruntime.InferenceSession

    class Opened(real):  # type: ignore[misc,valid-type]
        def __init__(self, model: bytes, options: Any, providers: list[Any]) -> None:
            seen.append(providers[0])
            super().__init__(model, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: seen.append("libraries"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Opened)
    found = Session(make_version(tmp_path, "1") / "model.onnx", provider="cuda")
    how = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    # The first is the version's own golden answers, made on the CPU.
    assert seen[1:] == ["libraries", ("CUDAExecutionProvider", how)]
    assert found.runs_on == "ONNX Runtime, CUDA"


def test_a_session_that_did_not_get_the_gpu_is_refused(tmp_path: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this runtime knows CUDA")
    folder = make_version(tmp_path, "1")
    assert Session(folder / "model.onnx").runs_on == "ONNX Runtime, CPU"
    with pytest.raises(DataError, match=r"CUDA|did not take the GPU"):
        Session(folder / "model.onnx", provider="cuda")
