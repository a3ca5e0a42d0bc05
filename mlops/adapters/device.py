"""Where networks are trained: on a GPU where one answers, with the same numbers each time."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from mlops.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator


def device() -> torch.device:
    """Return the GPU if there is one, else the CPU.

    On a GPU the deterministic kernels are taken, where PyTorch has them (it warns where not): a
    training that was killed and goes on shall end with the weights that it would have had.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read with the first product
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    return torch.device("cuda")


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn what CUDA says when memory is short into an error with a remedy.

    Raises:
        StepError: if the GPU's memory did not suffice.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        what = str(error).partition(". ")[0]
        msg = f"the GPU's memory does not suffice ({what}); lower model.batch_size, tune.rows or"
        raise StepError(f"{msg} data.limit, or use the CPU: CUDA_VISIBLE_DEVICES=") from None
