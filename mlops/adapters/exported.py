"""Score examples with a `torch.export` archive: the runtime of what ONNX cannot say; slower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import pt2
from mlops.adapters.model_files import read_schema
from mlops.adapters.onnx_session import BATCH_ROWS, PROBABILITIES, QUANTILES, need
from mlops.core.schema import outputs
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.pyfunc import Version
    from mlops.core.schema import Schema


class ExportedSession:
    """A network in PyTorch, with the same face as `mlops.adapters.onnx_session.Session`.

    Args:
        path: the archive.
        schema: of the examples that it takes.

    Raises:
        DataError: if the file is damaged, may run code, or does not fit the schema.

    Attributes:
        input: name of the input: the kind of the examples.
        output: `probabilities` or `quantiles`.
        shape: of one example.
        dtype: of the input.
        answers: numbers per row: classes, or quantiles.
        platform: what the Open Inference protocol calls the runtime.
        runs_on: the runtime and its device, for people.
    """

    platform = "pytorch_export"
    runs_on = "torch.export, CPU"

    def __init__(self, path: Path, schema: Schema) -> None:
        self.input = str(schema.kind)
        self.shape: tuple[int, ...] = schema.shape
        self.dtype: np.dtype[Any] = np.dtype(schema.dtype)
        self.output = PROBABILITIES if schema.classes else QUANTILES
        self.answers = outputs(schema)
        self._network = pt2.read(path)
        try:
            found = str(self._run(np.zeros((1, *self.shape), dtype=self.dtype)).shape)
        except Exception as error:  # noqa: BLE001 - whatever a foreign graph raises
            found = str(error).splitlines()[0][:200]
        if found != str((1, self.answers)):
            msg = f"{path}: does not map {self.input}s to {self.answers} {self.output} ({found})"
            raise DataError(f"{msg}; run: mlops train")

    def probabilities(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return answers, float32 (N, K), of examples (N, *shape); N may be 0.

        Raises:
            DataError: if dtype or shape are not what the model takes.
        """
        need(self, features)
        out = np.empty((len(features), self.answers), dtype=np.float32)
        for start in range(0, len(features), BATCH_ROWS):
            out[start : start + BATCH_ROWS] = self._run(features[start : start + BATCH_ROWS])
        return out

    def _run(self, features: NDArray[Any]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            rows = torch.from_numpy(np.array(features, order="C"))  # its own: may be read-only
            return self._network(rows).numpy()


def _load_pyfunc(path: str) -> Version:
    """Load for MLflow a version that an earlier release registered, which names this module."""
    from pathlib import Path

    from mlops.adapters.pyfunc import Version

    return Version(Path(path).parent)


def read(path: Path) -> ExportedSession:
    """Open an archive by the schema in the `model.json` beside it.

    Raises:
        DataError: as `ExportedSession`.
    """
    return ExportedSession(path, read_schema(path.parent))
