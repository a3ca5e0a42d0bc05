"""What is scored in bulk: a file or folder as numbered rows, read in batches from any row on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mlops.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops.core.schema import Schema


@dataclass(frozen=True)
class Batch:
    """Rows that follow each other.

    Attributes:
        start: number of the first in the whole input.
        values: as `mlops.core.features` says; something harmless where a row is unreadable.
        count: how many.
        names: per row, the file it came from; empty where all rows are of one file.
        unreadable: place in the batch → why the row cannot be read.
    """

    start: int
    values: Any
    count: int
    names: Sequence[str] = ()
    unreadable: dict[int, str] = field(default_factory=dict)


class Source(Protocol):
    """Numbered rows; opening one reads no row."""

    def files(self) -> Sequence[Path]:
        """Return every file that the rows come from, in order."""

    def count(self) -> int:
        """Return the number of rows."""

    def batches(self, start: int, stop: int, rows: int) -> Iterator[Batch]:
        """Yield the rows from `start` up to, without, `stop`, at most `rows` at a time."""


PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


def open_source(path: Path, schema: Schema) -> Source:
    """Open an input: Parquet (a file, or a folder of them), CSV, `.npy`, or a folder of images.

    Raises:
        UsageError: if its kind is unknown, or not what the model takes.
        DataError: if it is missing, unreadable, or lacks a column.
    """
    from mlops.batch import arrays, pictures, separated, tables

    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    ending = path.suffix.lower()
    if ending == ".parquet" or (path.is_dir() and any(path.glob("*.parquet"))):
        return tables.Parquet(path, schema)
    if ending == ".csv":
        return separated.Csv(path, schema)
    if ending == ".npy":
        return arrays.Npy(path, schema)
    if path.is_dir() or ending in PICTURES:
        return pictures.Folder(path, schema)
    msg = f"{path}: not Parquet, CSV, .npy, or a folder of images or of Parquet files"
    raise UsageError(msg)
