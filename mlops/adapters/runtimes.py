"""Open a model folder with the runtime that its model file is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mlops.adapters.onnx_session import Provider

ONNX, EXPORTED = "model.onnx", "model.pt2"
"""The model file's name says its runtime; a folder has one."""


class Scorer(Protocol):
    """A model file in its runtime; see `mlops.adapters.onnx_session.Session`."""

    input: str
    output: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    answers: int
    platform: str
    runs_on: str

    def probabilities(self, features: NDArray[Any], /) -> NDArray[np.float32]:
        """Return answers, float32 (N, K), of examples (N, *shape)."""


def model_file(folder: Path) -> Path:
    """Return the model file of a folder, or where an ONNX file would be."""
    exported = folder / EXPORTED
    return exported if exported.is_file() and not (folder / ONNX).is_file() else folder / ONNX


def open_model(folder: Path, *, threads: int = 1, provider: Provider = "cpu") -> Scorer:
    """Open a folder's model; PyTorch is loaded only if it needs it.

    Args:
        folder: with the model file and `model.json`.
        threads: of ONNX Runtime; 1 is best where several processes serve.
        provider: of ONNX Runtime.

    Raises:
        DataError: if the file is missing, damaged or no model of ours.
    """
    path = model_file(folder)
    if path.name == ONNX:
        # Here, for the registry names model files and must come without NumPy: rollback is quick.
        from mlops.adapters.onnx_session import Session

        return Session(path, threads, provider=provider)
    from mlops.adapters import exported

    return exported.read(path)
