"""Turn a trained model into the file that is scored and served: ONNX, else `torch.export`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import onnx, pt2
from mlops.adapters.exported import ExportedSession
from mlops.adapters.runtimes import EXPORTED, ONNX
from mlops.errors import DataError, StepError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.preprocessing import Preprocessed
    from mlops.core.schema import Schema


@dataclass(frozen=True)
class Made:
    """A model file.

    Attributes:
        runtime: `onnx` or `torch.export`.
        gap: how far its answers are from the trained model's, see `onnx.need_parity`.
        why: why it is no ONNX file; empty if it is one.
    """

    runtime: str
    gap: float
    why: str = ""


def export(
    model: Preprocessed, features: NDArray[Any], schema: Schema, folder: Path, parity: float
) -> Made:
    """Write a folder's one model file and compare it with the trained model on real rows.

    Args:
        model: on the CPU; put into evaluation mode.
        features: (N, *shape) of real examples, N ≥ 1.
        schema: of the examples.
        folder: where `model.onnx` or, if that cannot be, `model.pt2` is written.
        parity: largest difference allowed, see `onnx.need_parity`.

    Raises:
        StepError: if neither can be made, or neither is faithful.
    """
    try:
        return Made("onnx", onnx.export(model, features, schema, folder / ONNX, parity))
    except StepError as error:
        (folder / ONNX).unlink(missing_ok=True)
        why = str(error)
    try:
        gap = _torch(model, features, schema, folder / EXPORTED, parity)
    except StepError as error:
        raise StepError(f"{why}; nor can torch.export hold it: {error}") from None
    return Made("torch.export", gap, why)


def _torch(
    model: Preprocessed, features: NDArray[Any], schema: Schema, path: Path, parity: float
) -> float:
    import torch

    model.eval()
    sample = torch.from_numpy(np.resize(features, (2, *features.shape[1:])))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            batch = torch.export.Dim("batch")
            pt2.write(torch.export.export(model, (sample,), dynamic_shapes=({0: batch},)), path)
        answers = ExportedSession(path, schema).probabilities(features)
    except DataError as error:
        path.unlink(missing_ok=True)
        raise StepError(str(error)) from None
    except Exception as error:  # the exporter raises whatever the network's code raises
        what = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise StepError(f"{type(model.network).__name__}: {what}") from error
    return onnx.need_parity(model, features, answers, path, parity)
