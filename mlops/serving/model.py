"""One model version in memory: verified against its manifest, warmed, and replayed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from mlops.adapters import files, seal
from mlops.adapters.onnx_session import OUTPUT, Session
from mlops.core.schema import parse_image_schema
from mlops.errors import DataError, UnverifiedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema

MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.npz"
TOLERANCE = 1e-4
_WARM_UP = 3


@dataclass(frozen=True)
class Pointer:
    """Which verified version is in service.

    Attributes:
        version: the registry's version.
        folder: its verified local copy.
        digest: sha256 over its manifest.
        since_s: when it came into service, seconds since 1970.
    """

    version: str
    folder: str
    digest: str
    since_s: float


def read_pointer(home: Path) -> Pointer | None:
    """Return the pointer, or None before anything was in service.

    Raises:
        DataError: if the file is no pointer.
    """
    path = home / "current.json"
    if not path.exists():
        return None
    content = files.read_json(path)
    try:
        return Pointer(
            str(content["version"]), str(content["folder"]), str(content["digest"]),
            float(str(content["since_s"])),
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        msg = f"{path}: no pointer ({error}); delete it, the follower writes it anew"
        raise DataError(msg) from None


def write_pointer(home: Path, pointer: Pointer) -> None:
    """Move the pointer, atomically."""
    files.write_json(home / "current.json", vars(pointer))


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
