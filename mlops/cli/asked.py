"""Files named on the command line → what the server is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Kind = Literal["image", "array", "rows", "text"]

KINDS: dict[str, Kind] = {
    ".png": "image", ".jpg": "image", ".jpeg": "image", ".webp": "image", ".npy": "array",
    ".csv": "rows", ".parquet": "rows", ".txt": "text", ".md": "text",
}  # fmt: skip
"""Suffix → what such a file holds."""

MAX_ROWS = 10_000
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Given:
    """What one file holds.

    Attributes:
        path: of the file.
        kind: what it is.
        content: a path for an image, an array, a list of rows, or a list of one text.
    """

    path: Path
    kind: Kind
    content: Any


def read(paths: Sequence[Path]) -> Iterator[Given]:
    """Read the files one by one.

    Raises:
        UsageError: for a suffix that is not known, or more rows than belong on a command line.
        DataError: if a file cannot be read.
    """
    for path in paths:
        kind = KINDS.get(path.suffix.lower())
        if kind is None:
            msg = f"{path}: its ending is none of {', '.join(KINDS)}"
            raise UsageError(msg)
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MiB; use: mlops score")
        yield Given(path, kind, _READERS[kind](path))


def _array(path: Path) -> Any:
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not an array that NumPy can read ({error})") from None
    return _few(path, found) if found.ndim == 4 else found


def _rows(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix.lower() == ".parquet":
            if parquet.read_metadata(path).num_rows > MAX_ROWS:
                raise UsageError(f"{path}: more than {MAX_ROWS} rows; use: mlops score")
            table = parquet.read_table(path)
        else:
            table = csv.read_csv(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        what = str(error).splitlines()[0][:200]
        raise DataError(f"{path}: not a table ({what})") from None
    return _few(path, table.to_pylist())


def _text(path: Path) -> list[str]:
    try:
        return [path.read_text(encoding="utf-8")]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not UTF-8 text ({error})") from None


def _few(path: Path, rows: Any) -> Any:
    if not 0 < len(rows) <= MAX_ROWS:
        raise UsageError(
            f"{path}: {len(rows)} rows, not 1 to {MAX_ROWS}; for many use: mlops score"
        )
    return rows


_READERS = {"image": lambda path: path, "array": _array, "rows": _rows, "text": _text}
