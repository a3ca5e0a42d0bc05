"""Where networks are trained. That a GPU gives the same weights twice, test_lightning.py shows."""

from __future__ import annotations

import pytest
import torch

from mlops.adapters.device import device, enough_memory
from mlops.errors import StepError


def test_the_gpu_is_taken_with_deterministic_kernels_and_the_cpu_is_left_as_it_is() -> None:
    has = torch.cuda.is_available()
    assert device().type == ("cuda" if has else "cpu")
    assert torch.are_deterministic_algorithms_enabled() is has


def test_too_little_memory_is_an_error_with_a_remedy() -> None:
    said = "CUDA out of memory. Tried to allocate 4.00 GiB. GPU 0 has a total capacity of 2 GiB"
    with pytest.raises(StepError) as caught, enough_memory():
        raise torch.OutOfMemoryError(said)
    assert str(caught.value) == (
        "the GPU's memory does not suffice (CUDA out of memory); lower model.batch_size or "
        "data.limit, or train on the CPU: CUDA_VISIBLE_DEVICES= mlops train"
    )
