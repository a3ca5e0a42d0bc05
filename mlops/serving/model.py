"""One model version in memory: verified against its manifest, warmed, and replayed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from mlops.adapters import files, seal
from mlops.adapters.onnx_session import OUTPUT, Session
from mlops.core.schema import parse_image_schema
from mlops.errors import DataError, UnverifiedModel
from mlops.serving.pointer import Pointer, read_pointer, write_pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema

__all__ = ["Model", "Pointer", "load", "read_pointer", "sealed", "write_pointer"]

MODEL_FILE = "model.onnx"
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
    """An ONNX graph from raw uint8 images to probabilities, on one thread."""

    def __init__(self, folder: Path, version: str) -> None:
        self.version = version
        self.schema = _read_schema(folder / "model.json")
        self.output = OUTPUT
        self.row_s = 0.0  # of late, per row; kept by whoever runs it
        try:
            self._session = Session(folder / MODEL_FILE, threads=1)
        except (DataError, OSError) as error:
            raise UnverifiedModel(str(error)) from None
        if self._session.shape != self.schema.shape:
            msg = f"{folder}: the graph takes {self._session.shape}, model.json says otherwise"
            raise UnverifiedModel(msg)

    def predict(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 probabilities (N, classes) of uint8 images (N, H, W, C)."""
        return self._session.probabilities(images_NHWC)

    def replay(self, folder: Path) -> float:
        """Score the golden images and return the largest difference to what was recorded.

        Raises:
            UnverifiedModel: if it exceeds `TOLERANCE`, or the file or a shape is wrong.
        """
        path = folder / GOLDEN_FILE
        try:
            with np.load(path, allow_pickle=False) as stored:
                images, expected = stored["features"], stored["probabilities"]
            found = self.predict(images)
            worst = float(np.abs(found - expected).max())
        except (DataError, KeyError, OSError, ValueError, EOFError, BadZipFile) as error:
            what = str(error).splitlines()[0][:200]
            msg = f"{path}: cannot be replayed ({what}); register the version again"
            raise UnverifiedModel(msg) from None
        if found.shape[1] != len(self.schema.classes):
            msg = f"{folder}: {found.shape[1]} outputs for {len(self.schema.classes)} classes"
            raise UnverifiedModel(msg)
        if not worst <= TOLERANCE:
            msg = f"{path}: probabilities differ by {worst:.2g}, above {TOLERANCE:g}; refused"
            raise UnverifiedModel(msg)
        return worst

    def warm(self) -> float:
        """Run a few empty batches; return the seconds of the last one."""
        spent = 0.0
        for rows in (32, *([1] * _WARM_UP)):
            started = time.perf_counter()
            self.predict(np.zeros((rows, *self.schema.shape), dtype=np.uint8))
            spent = time.perf_counter() - started
        self.row_s = spent
        return spent


def load(pointer: Pointer) -> Model:
    """Verify, load, replay and warm what a pointer names.

    Raises:
        UnverifiedModel: if any of it fails.
    """
    folder = Path(pointer.folder)
    seal.verify(folder, pointer.digest)
    model = Model(folder, pointer.version)
    model.replay(folder)
    model.warm()
    return model


def _read_schema(path: Path) -> ImageSchema:
    try:
        return parse_image_schema(files.read_json(path).get("schema"), str(path))
    except DataError as error:
        raise UnverifiedModel(f"{error}; register the version again") from None
