"""How much each training row counts, as a file beside the rows; no file: all count alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.files import replacing
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WEIGHTS = "train_weights.npy"


def write_weights(prepared: Path, weight: NDArray[np.float64]) -> None:
    """Write the weights of the training rows, float64 (N,) of mean 1, atomically."""
    with replacing(prepared / WEIGHTS) as temporary, temporary.open("wb") as stream:
        np.save(stream, weight, allow_pickle=False)


def read_weights(prepared: Path, rows: int) -> NDArray[np.float32] | None:
    """Read the weights of so many training rows, as the loss takes them; None: all count alike.

    Raises:
        DataError: if the file is damaged or of another number of rows.
    """
    path = prepared / WEIGHTS
    if not path.is_file():
        return None
    try:
        weight = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: unreadable ({error}); run: mlops prepare") from None
    if weight.shape != (rows,):
        msg = f"{path}: weights of shape {weight.shape} for {rows} training rows"
        raise DataError(f"{msg}; run: mlops prepare")
    return np.asarray(weight, np.float32)
