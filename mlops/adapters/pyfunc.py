"""What MLflow loads of a model version of ours: it takes columns as our own server does.

The flavours that `mlops.adapters.flavour` writes name this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.adapters.model_files import read_schema
from mlops.adapters.runtimes import open_model
from mlops.core.features import arrays
from mlops.core.schema import table_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import Column


class Version:
    """A version's folder, opened.

    Args:
        folder: with the model file and `model.json`.

    Raises:
        DataError: if one of them is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._schema = read_schema(folder)
        self._session = open_model(folder)

    def predict(self, given: Any) -> dict[str, NDArray[np.float32]]:
        """Return answers, float32 (N, K), by the output's name, as the ONNX flavour does.

        Args:
            given: what the signature says: a data frame, or a tensor, perhaps by its name.
                Versions of earlier releases have a tensor, whatever their kind.
        """
        if isinstance(given, pd.DataFrame):
            rows = arrays(self._values(given), self._schema)
        else:
            tensor = given[self._session.input] if isinstance(given, dict) else given
            rows = np.asarray(tensor, dtype=self._session.dtype)
        return {self._session.output: self._session.probabilities(rows)}

    def _values(self, frame: pd.DataFrame) -> Any:
        columns = table_columns(self._schema)
        if columns:
            return tuple(_column(frame[column.name], column) for column in columns)
        return frame[self._schema.kind].tolist()


def _column(values: pd.Series[Any], column: Column) -> NDArray[Any]:
    if column.kind == "number":
        return values.to_numpy(dtype=np.float64)
    return np.array([v if isinstance(v, str) else None for v in values], dtype=object)


def _load_pyfunc(path: str) -> Version:
    """Load a version for MLflow, which passes the model file's path."""
    return Version(Path(path).parent)
