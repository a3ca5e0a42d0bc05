"""Source `fashion_mnist`: 70,000 pictures of clothes, 28 × 28 pixels, from four IDX files.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST" (arXiv:1708.07747). Both of its files become
examples: which side of the split a row stands on is this project's decision, not the file's.
"""

from __future__ import annotations

import gzip
import socket
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.sources.base import Examples
from mlops.core.schema import ImageSchema
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.params.data import DataSection

CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip
PARTS = {"train": "train", "t10k": "test"}
"""File name's first word → the part's name in an entity."""
SIDE_PIXELS = 28
MAX_ROWS = 200_000
"""More rows than a file may claim: what is read into memory is bounded by this, not by the file."""
_NETWORK_S = 30.0


def load(section: DataSection, root: Path) -> Examples:
    """Return the examples of the folder `section.path`, or of a download into `data/raw/`.

    Raises:
        DataError: naming the file that is missing, truncated, oversized or no IDX file.
    """
    folder = root / section.path if section.path is not None else _download(root)
    images, labels, entities = [], [], []
    for word, part in PARTS.items():
        named = _found(folder / f"{word}-labels-idx1-ubyte.gz")
        pixels = _read_idx(_found(folder / f"{word}-images-idx3-ubyte.gz"), sides=2)
        classes = _read_idx(named, sides=0)
        _check_labels(named, classes, len(pixels))
        images.append(pixels)
        labels.append(classes.astype(np.int64))
        entities += [f"fashion-{part}-{row:05d}" for row in range(len(pixels))]
    return Examples(
        schema=ImageSchema(CLASSES, SIDE_PIXELS, SIDE_PIXELS, 1),
        values=np.concatenate(images)[..., None],
        labels=np.concatenate(labels),
        entities=tuple(entities),
        observed_s=np.full(len(entities), np.nan),
    )


def _found(packed: Path) -> Path:
    """Return a file as it was published, or unpacked beside where it should be."""
    plain = packed.with_suffix("")
    return plain if plain.is_file() and not packed.is_file() else packed


def _read_idx(path: Path, *, sides: int) -> NDArray[np.uint8]:
    """Read one IDX file of uint8, gzipped or not; `sides` is 2 for images, 0 for labels."""
    header_bytes = 4 * (2 + sides)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            header = stream.read(header_bytes)
            shape = _shape(path, header, sides)
            size = int(np.prod(shape))
            # One byte more than promised is enough to know; a bomb is never unpacked further.
            content = stream.read(size + 1)
    except FileNotFoundError:
        msg = f"{path}: no such file; put the four Fashion-MNIST .gz files into data.path"
        raise DataError(msg) from None
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path}: not a whole gzip file ({error}); download it again"
        raise DataError(msg) from None
    if len(content) != size:
        found = f"only {len(content)}" if len(content) < size else "more"
        msg = f"{path}: its header promises {size} bytes, {found} follow; download it again"
        raise DataError(msg)
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _shape(path: Path, header: bytes, sides: int) -> tuple[int, ...]:
    magic = 0x0800 + 1 + sides  # uint8, number of dimensions
    if len(header) < 4 * (2 + sides) or struct.unpack(">I", header[:4])[0] != magic:
        msg = f"{path}: begins with {header[:4].hex() or 'nothing'}, an IDX file of this kind with "
        raise DataError(msg + f"{magic:08x}; download it again")
    rows, *rest = struct.unpack(f">{1 + sides}I", header[4:])
    if rows > MAX_ROWS or any(side != SIDE_PIXELS for side in rest):
        claim = " × ".join(str(n) for n in (rows, *rest))
        msg = f"{path}: claims {claim}; at most {MAX_ROWS} rows of {SIDE_PIXELS} pixels are read"
        raise DataError(msg)
    return (rows, *rest)


def _check_labels(path: Path, labels: NDArray[np.uint8], images: int) -> None:
    if len(labels) != images:
        msg = f"{path}: {len(labels)} labels for {images} images; download both files again"
        raise DataError(msg)
    wrong = labels >= len(CLASSES)
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = f"{path}: row {row} has the label {labels[row]}; labels are 0 to {len(CLASSES) - 1}"
        raise DataError(msg)


def _download(root: Path) -> Path:
    """Fetch the files by torchvision, unless an earlier run did."""
    raw = root / "data" / "raw"
    folder = raw / "FashionMNIST" / "raw"
    names = [f"{w}-{k}-ubyte.gz" for w in PARTS for k in ("images-idx3", "labels-idx1")]
    if all((folder / name).is_file() for name in names):
        return folder
    from torchvision.datasets import FashionMNIST

    try:
        with _network_timeout(_NETWORK_S):
            for train in (True, False):
                FashionMNIST(str(raw), train=train, download=True)
    except (OSError, RuntimeError) as error:  # urllib's and torchvision's own
        what = str(error).splitlines()[0][:200].rstrip(": ")  # torchvision's names come after it
        msg = (
            f"source fashion_mnist: the download into {raw} failed ({what}); get the four .gz "
            "files on another machine and name their folder in params.yaml: data.path"
        )
        raise DataError(msg) from None
    return folder


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Bound torchvision's sockets, which have no timeout: a black hole would hang for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
