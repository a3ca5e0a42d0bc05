"""A folder of image files as rows, in the order of their names; read as the server reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.batch.source import PICTURES, Batch
from mlops.core.schema import ImageSchema
from mlops.errors import DataError, UsageError
from mlops.serving.config import Limits
from mlops.serving.images import decode
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import Schema

_PIXELS = Limits().pixels


class Folder:
    """Image files of a folder and the folders in it; links and hidden files are left out.

    Raises:
        UsageError: if the model takes no images.
        DataError: if there are none.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        if not isinstance(schema, ImageSchema):
            raise UsageError(f"{path}: images, but the model takes examples of kind {schema.kind}")
        self._schema = schema
        self._root = path if path.is_dir() else path.parent
        self._files = [path] if path.is_file() else sorted(_below(path))
        if not self._files:
            raise DataError(f"{path}: no image in it ({', '.join(sorted(PICTURES))})")

    def files(self) -> Sequence[Path]:
        """Return the image files, sorted."""
        return self._files

    def count(self) -> int:
        """Return the number of image files."""
        return len(self._files)

    def batches(self, start: int, stop: int, rows: int) -> Iterator[Batch]:
        """Yield rows, as `Source.batches`."""
        for at in range(start, stop, rows):
            part = self._files[at : min(at + rows, stop)]
            images = np.zeros((len(part), *self._schema.shape), dtype=np.uint8)
            bad: dict[int, str] = {}
            for place, path in enumerate(part):
                try:
                    images[place] = read_image(path.read_bytes(), self._schema)
                except OSError as error:
                    raise DataError(f"{path}: {error.strerror or error}") from None
                except DataError as error:
                    bad[place] = str(error)
            names = [path.relative_to(self._root).as_posix() for path in part]
            yield Batch(at, images, len(part), names, bad)


def read_image(content: bytes, schema: ImageSchema) -> NDArray[np.uint8]:
    """Return one image file as the server would, uint8 (H, W, C).

    Raises:
        DataError: saying what the server would.
    """
    try:
        return decode(content, schema, _PIXELS)
    except Refused as refused:
        raise DataError(refused.message) from None


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in PICTURES and path.is_file() and not (hidden or path.is_symlink()):
            yield path
