"""Snapshots and prepared splits on disk: the files through which steps speak to each other."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops.adapters.files import read_json, replacing, write_json
from mlops.core.schema import parse_image_schema, to_plain
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema, Schema

COLUMNS = pa.schema([
    pa.field("example_id", pa.string(), nullable=False),
    pa.field("entity", pa.string()),  # declared by the source or the caller, may be missing
    pa.field("group", pa.string(), nullable=False),  # near-duplicate group
    pa.field("observed_at", pa.timestamp("us", tz="UTC")),
    pa.field("image", pa.binary(), nullable=False),  # uint8, rows × columns × channels
    pa.field("label", pa.int32()),
    pa.field("label_source", pa.string()),  # source | random | active | user
    pa.field("origin", pa.string(), nullable=False),  # base | production
])  # fmt: skip
"""The columns of every shard, of the snapshot and of production rows alike."""

SHARD_ROWS = 20_000
MAX_ROWS = 20_000_000


def write_schema(folder: Path, schema: Schema) -> None:
    """Write `schema.json` of a snapshot."""
    write_json(folder / "schema.json", to_plain(schema))


def read_schema(folder: Path) -> ImageSchema:
    """Read `schema.json` of a snapshot.

    Raises:
        DataError: if it is missing or not an image schema.
    """
    path = folder / "schema.json"
    try:
        return parse_image_schema(read_json(path), str(path))
    except DataError as error:
        raise DataError(f"{error}; run: mlops ingest") from None


def write_shard(path: Path, table: pa.Table) -> None:
    """Write one immutable Parquet shard atomically (zstd; equal tables give equal bytes)."""
    with replacing(path) as temporary:
        pq.write_table(table.cast(COLUMNS), temporary, compression="zstd")


def read_shards(folder: Path) -> pa.Table:
    """Read every shard of a folder, in the order of their names.

    Raises:
        DataError: if a shard is unreadable, lacks a column, or claims too many rows.
    """
    tables = list(_tables(folder))
    return pa.concat_tables(tables) if tables else COLUMNS.empty_table()


def _tables(folder: Path) -> Iterator[pa.Table]:
    rows = 0
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows += pq.read_metadata(path).num_rows
            if rows > MAX_ROWS:
                msg = f"{path}: more than {MAX_ROWS} rows in {folder}; split the data set"
                raise DataError(msg)
            yield pq.read_table(path).cast(COLUMNS)
        except (pa.ArrowException, OSError, ValueError) as error:
            what = str(error).splitlines()[0][:200]
            msg = f"{path}: not a shard of this project ({what}); restore it or delete it"
            raise DataError(msg) from None


def images(table: pa.Table, schema: ImageSchema) -> NDArray[np.uint8]:
    """Return the images of a table as uint8 of shape (N, H, W, C).

    Raises:
        DataError: naming the first example whose bytes are too many or too few.
    """
    column = table.column("image").to_pylist()
    for name, image in zip(table.column("example_id").to_pylist(), column, strict=True):
        if len(image) != schema.size_bytes:
            msg = f"example {name}: {len(image)} bytes, expected {schema.size_bytes} {schema.shape}"
            raise DataError(msg)
    joined = np.frombuffer(b"".join(column), dtype=np.uint8)
    return joined.reshape(len(column), *schema.shape)


@dataclass(frozen=True)
class Rows:
    """Rows ready for a model: one side of the split, the gate's recent rows, the reference.

    Attributes:
        features: (N, *shape) of the schema, in its dtype; for images uint8 (N, H, W, C).
        label: int64, (N,); -1 where there is none.
        example_id: text, (N,).
        key: uint64, (N,): `key_hash` of the split key.
        observed_s: float64, (N,): seconds since 1970; NaN where the source has no times.
        production: bool, (N,): whether the row came from production.
        label_source: text, (N,): how the row was chosen for labelling; empty where unlabelled.
    """

    features: NDArray[Any]
    label: NDArray[np.int64]
    example_id: NDArray[np.str_]
    key: NDArray[np.uint64]
    observed_s: NDArray[np.float64]
    production: NDArray[np.bool_]
    label_source: NDArray[np.str_]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.label)

    def take(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> Rows:
        """Return the rows that a mask or an index array selects."""
        return Rows(**{name: value[index] for name, value in vars(self).items()})


def write_rows(path: Path, rows: Rows) -> None:
    """Write rows to one `.npz` file, atomically and without pickle."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **vars(rows))


def read_rows(path: Path) -> Rows:
    """Read rows written by `write_rows`.

    Raises:
        DataError: if the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Rows(**{name: stored[name] for name in Rows.__dataclass_fields__})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        msg = f"{path}: unreadable ({error}); run: mlops prepare"
        raise DataError(msg) from None
