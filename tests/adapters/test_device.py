"""Where networks are trained. Where a GPU answers, test_lightning.py trains on it twice."""

from __future__ import annotations

import os

import pytest
import torch

from mlops.adapters.device import device, enough_memory
from mlops.errors import StepError


def test_the_cpu_is_left_as_it_is() -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU answers here")
    assert device() == torch.device("cpu")
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_gpu_is_taken_with_deterministic_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is as before afterwards
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    before = torch.are_deterministic_algorithms_enabled()
    try:
        assert device() == torch.device("cuda")
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(before)


def test_too_little_memory_is_an_error_with_a_remedy() -> None:
    said = "CUDA out of memory. Tried to allocate 4.00 GiB. GPU 0 has a total capacity of 2 GiB"
    with pytest.raises(StepError) as caught, enough_memory():
        raise torch.OutOfMemoryError(said)
    assert str(caught.value) == (
        "the GPU's memory does not suffice (CUDA out of memory); lower model.batch_size, "
        "tune.rows or data.limit, or use the CPU: CUDA_VISIBLE_DEVICES="
    )
