"""A `.npy` file as rows: mapped, so that only what is scored is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.batch.source import Batch
from mlops.core.features import values_of
from mlops.core.schema import LARGEST
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import Schema


class Npy:
    """An array of the model's own input, (N, *shape) in the schema's dtype.

    Raises:
        DataError: if it is anything else, or holds infinities.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path, self._schema = path, schema
        found, wanted = self._map(), ("N", *schema.shape)
        if found.dtype != schema.dtype or found.shape[1:] != schema.shape:
            shown = f"{schema.dtype} ({', '.join(map(str, wanted))})"
            raise DataError(f"{path}: {found.dtype} {found.shape}; the model takes {shown}")
        self._rows = len(found)

    def files(self) -> list[Path]:
        """Return the one file."""
        return [self._path]

    def count(self) -> int:
        """Return the number of rows."""
        return self._rows

    def batches(self, start: int, stop: int, rows: int) -> Iterator[Batch]:
        """Yield rows, as `Source.batches`."""
        found = self._map()
        for at in range(start, stop, rows):
            part = np.array(found[at : min(at + rows, stop)])
            bad: dict[int, str] = {}
            if part.dtype.kind == "f":
                flat = (np.abs(part) > LARGEST).reshape(len(part), -1).any(axis=1)
                bad = {int(n): "holds a number beyond ±3.4e38" for n in np.flatnonzero(flat)}
                part[flat] = np.nan
            yield Batch(at, values_of(part, self._schema), len(part), unreadable=bad)

    def _map(self) -> NDArray[Any]:
        try:
            found: NDArray[Any] = np.load(self._path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{self._path}: not an array that NumPy can read ({error})") from None
        if found.ndim == 0:
            raise DataError(f"{self._path}: holds a single number, no rows")
        return found
