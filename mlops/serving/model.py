"""One model version in memory: verified against its manifest, warmed, and replayed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from mlops.adapters import files, seal
from mlops.adapters.runtimes import open_model
from mlops.core.schema import outputs, parse_schema
from mlops.errors import DataError, UnverifiedModel
from mlops.serving.pointer import Pointer, read_pointer, write_pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.adapters.onnx_session import Provider
    from mlops.core.schema import Schema

__all__ = ["Model", "Pointer", "load", "read_pointer", "read_schema", "sealed", "write_pointer"]

GOLDEN_FILE = "golden.npz"
TOLERANCE = 1e-4
_WARM_UP = 3


def sealed(folder: Path) -> str:
    """Check a version's files against its own manifest; return the manifest's digest.

    Raises:
        UnverifiedModel: naming the first file that is missing, changed or not listed.
    """
    try:
        digest = str(files.read_json(folder / seal.MANIFEST).get("digest"))
    except DataError as error:
        msg = f"{error}; fetch the version again"
        raise UnverifiedModel(msg) from None
    seal.verify(folder, digest)
    return digest


class Model:
    """A model file from raw features to answers, on one thread.

    Attributes:
        version: the registry's.
        digest: of its manifest, as the ledger has it; empty before it is verified.
        schema: of the examples.
        output: `probabilities`, or `quantiles` of a regression.
        platform: what the Open Inference protocol calls the runtime.
        runs_on: the runtime and its device, for people.
    """

    def __init__(self, folder: Path, version: str, provider: Provider = "cpu") -> None:
        self.version, self.digest = version, ""
        self.schema = read_schema(folder)
        self.row_s = 0.0  # of late, per row; kept by whoever runs it
        try:
            self._session = open_model(folder, provider=provider)
        except (DataError, OSError) as error:
            raise UnverifiedModel(str(error)) from None
        self.output = self._session.output
        self.platform, self.runs_on = self._session.platform, self._session.runs_on
        takes = (self._session.shape, self._session.dtype)
        if takes != (self.schema.shape, self.schema.dtype):
            msg = f"{folder}: the graph takes {takes[1]} {takes[0]}, model.json says otherwise"
            raise UnverifiedModel(msg)

    def predict(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return answers, float32 (N, K), of features (N, *shape) in the schema's dtype."""
        return self._session.probabilities(features)

    def replay(self, folder: Path) -> float:
        """Score the golden rows and return the largest difference to what was recorded.

        Of a regression it is in units of the recorded answers' spread.

        Raises:
            UnverifiedModel: if it exceeds `TOLERANCE`, or the file or a shape is wrong.
        """
        path = folder / GOLDEN_FILE
        try:
            with np.load(path, allow_pickle=False) as stored:
                features, expected = stored["features"], stored["probabilities"]
            found = self.predict(features)
            worst = difference(found, expected, self.schema)
        except (DataError, KeyError, OSError, ValueError, EOFError, BadZipFile) as error:
            what = str(error).splitlines()[0][:200]
            msg = f"{path}: cannot be replayed ({what}); register the version again"
            raise UnverifiedModel(msg) from None
        if found.shape[1] != outputs(self.schema):
            msg = f"{folder}: {found.shape[1]} outputs for {outputs(self.schema)} "
            msg += "classes" if self.schema.classes else "quantiles"
            raise UnverifiedModel(msg)
        if not worst <= TOLERANCE:
            msg = f"{path}: answers differ by {worst:.2g}, above {TOLERANCE:g}; refused"
            raise UnverifiedModel(msg)
        return worst

    def warm(self) -> float:
        """Run a few empty batches; return the seconds of the last one."""
        spent = 0.0
        for rows in (32, *([1] * _WARM_UP)):
            started = time.perf_counter()
            self.predict(np.zeros((rows, *self.schema.shape), dtype=self.schema.dtype))
            spent = time.perf_counter() - started
        self.row_s = spent
        return spent


def load(pointer: Pointer, provider: Provider = "cpu") -> Model:
    """Verify, load, replay and warm what a pointer names, where it is to run.

    Raises:
        UnverifiedModel: if any of it fails.
    """
    folder = Path(pointer.folder)
    seal.verify(folder, pointer.digest)
    model = Model(folder, pointer.version, provider)
    model.digest = pointer.digest
    model.replay(folder)
    model.warm()
    return model


def difference(found: NDArray[Any], expected: NDArray[np.float32], schema: Schema) -> float:
    """Return the largest difference of answers to the recorded ones; NaN where one is none.

    Of a regression in units of the recorded answers' spread: a unit of its own has no tolerance.
    """
    worst = float(np.abs(found - expected).max())
    if schema.classes:
        return worst
    return worst / max(float(np.ptp(expected)), float(np.finfo(np.float32).tiny))


def read_schema(folder: Path) -> Schema:
    """Return what a version's examples are.

    Raises:
        UnverifiedModel: if its `model.json` is missing or damaged.
    """
    path = folder / "model.json"
    try:
        return parse_schema(files.read_json(path).get("schema"), str(path))
    except DataError as error:
        raise UnverifiedModel(f"{error}; register the version again") from None
