"""Snapshots and prepared splits on disk: the files through which steps speak to each other."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops.adapters.files import read_json, replacing, write_json
from mlops.core.features import canonical, read
from mlops.core.schema import ImageSchema, TableSchema, TextSchema, parse_schema, to_plain
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import Schema


_BEFORE = (
    pa.field("example_id", pa.string(), nullable=False),
    pa.field("entity", pa.string()),  # declared by the source or the caller, may be missing
    pa.field("group", pa.string(), nullable=False),  # near-duplicate group
    pa.field("observed_at", pa.timestamp("us", tz="UTC")),
)
_AFTER = (
    pa.field("label_source", pa.string()),  # source | random | active | user
    pa.field("origin", pa.string(), nullable=False),  # base | production
)


def columns(schema: Schema) -> pa.Schema:
    """Return the columns of every shard, of the snapshot and of production rows alike.

    The features are `image` (uint8, rows × columns × channels), `text`, or one column per column
    of the table. A label is an index into the classes; of a regression it is the number itself.
    """
    label = pa.int32() if schema.classes else pa.float64()
    return pa.schema([*_BEFORE, *_features(schema), pa.field("label", label), *_AFTER])


def _features(schema: Schema) -> list[pa.Field]:
    if isinstance(schema, ImageSchema):
        return [pa.field("image", pa.binary(), nullable=False)]
    if isinstance(schema, TextSchema):
        return [pa.field("text", pa.string(), nullable=False)]
    kinds = {"number": pa.float64(), "category": pa.string()}
    return [pa.field(column.name, kinds[column.kind]) for column in schema.columns]


def feature_columns(values: Any, schema: Schema) -> dict[str, pa.Array]:
    """Return values, as in `mlops.core.features`, as columns of a shard."""
    fields = _features(schema)
    if isinstance(schema, ImageSchema):
        return {"image": pa.array(canonical(values, schema), pa.binary())}
    parts = [values] if isinstance(schema, TextSchema) else values
    return {
        field.name: pa.array(part, field.type, from_pandas=True)
        for field, part in zip(fields, parts, strict=True)
    }


SHARD_ROWS = 20_000
MAX_ROWS = 20_000_000


def write_schema(folder: Path, schema: Schema) -> None:
    """Write `schema.json` of a snapshot."""
    write_json(folder / "schema.json", to_plain(schema))


def read_schema(folder: Path) -> Schema:
    """Read `schema.json` of a snapshot.

    Raises:
        DataError: if it is missing or no schema.
    """
    path = folder / "schema.json"
    try:
        return parse_schema(read_json(path), str(path))
    except DataError as error:
        raise DataError(f"{error}; run: mlops ingest") from None


def write_shard(path: Path, table: pa.Table, schema: Schema) -> None:
    """Write one immutable Parquet shard atomically (zstd; equal tables give equal bytes)."""
    with replacing(path) as temporary:
        pq.write_table(table.cast(columns(schema)), temporary, compression="zstd")


def read_shards(folder: Path, schema: Schema) -> pa.Table:
    """Read every shard of a folder, in the order of their names.

    Raises:
        DataError: if a shard is unreadable, lacks a column, or claims too many rows.
    """
    tables = list(_tables(folder, columns(schema)))
    return pa.concat_tables(tables) if tables else columns(schema).empty_table()


def has_entities(folder: Path, prefix: str) -> tuple[bool, bool]:
    """Say whether the shards of a folder have entities without a prefix, and with it.

    Raises:
        DataError: if a shard is unreadable.
    """
    without = within = False
    for path in sorted(folder.glob("*.parquet")):
        try:
            names = pq.read_table(path, columns=["entity"]).column("entity").drop_null()
        except (pa.ArrowException, OSError, ValueError) as error:
            what = str(error).splitlines()[0][:200]
            raise DataError(f"{path}: unreadable ({what}); run: mlops ingest") from None
        begins = pc.starts_with(names, prefix)
        without |= bool(pc.any(pc.invert(begins)).as_py())
        within |= bool(pc.any(begins).as_py())
    return without, within


def _tables(folder: Path, wanted: pa.Schema) -> Iterator[pa.Table]:
    rows = 0
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows += pq.read_metadata(path).num_rows
            if rows > MAX_ROWS:
                msg = f"{path}: more than {MAX_ROWS} rows in {folder}; split the data set"
                raise DataError(msg)
            yield pq.read_table(path).cast(wanted)
        except (pa.ArrowException, OSError, ValueError) as error:
            what = str(error).splitlines()[0][:200]
            msg = f"{path}: not a shard of this project ({what}); restore it or delete it"
            raise DataError(msg) from None


def values(table: pa.Table, schema: Schema) -> Any:
    """Return the features of a table of a shard's columns, as in `mlops.core.features`.

    Raises:
        DataError: naming the first image whose bytes are too many or too few.
    """
    if not isinstance(schema, ImageSchema):
        return written(table, schema)
    column = written(table, schema)
    for name, image in zip(table.column("example_id").to_pylist(), column, strict=True):
        if len(image) != schema.size_bytes:
            msg = f"example {name}: {len(image)} bytes, expected {schema.size_bytes} {schema.shape}"
            raise DataError(msg)
    return read(column, schema)


def written(table: pa.Table, schema: Schema) -> Any:
    """Return the features as they stand in a shard: of images the bytes, however many they are."""
    if isinstance(schema, TableSchema):
        return tuple(_column(table.column(c.name), c.kind) for c in schema.columns)
    return table.column("text" if isinstance(schema, TextSchema) else "image").to_pylist()


def _column(column: pa.ChunkedArray, kind: str) -> NDArray[Any]:
    if kind == "category":
        return np.array(column.to_pylist(), dtype=object)
    numbers: NDArray[Any] = column.to_numpy().astype(np.float64)
    return numbers


@dataclass(frozen=True)
class Rows:
    """Rows ready for a model: one side of the split, the gate's recent rows, the reference.

    Attributes:
        features: (N, *shape) of the schema, in its dtype; for images uint8 (N, H, W, C).
        label: int64, (N,), -1 where there is none; of a regression float64, NaN where none is.
        example_id: text, (N,).
        key: uint64, (N,): `key_hash` of the split key.
        observed_s: float64, (N,): seconds since 1970; NaN where the source has no times.
        production: bool, (N,): whether the row came from production.
        label_source: text, (N,): how the row was chosen for labelling; empty where unlabelled.
    """

    features: NDArray[Any]
    label: NDArray[Any]
    example_id: NDArray[np.str_]
    key: NDArray[np.uint64]
    observed_s: NDArray[np.float64]
    production: NDArray[np.bool_]
    label_source: NDArray[np.str_]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.label)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which rows have a label; bool, (N,)."""
        return has_label(self.label)

    def take(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> Rows:
        """Return the rows that a mask or an index array selects."""
        return Rows(**{name: value[index] for name, value in vars(self).items()})


def has_label(label: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each label, int64 (N,) or float64 (N,), whether it is one; bool (N,)."""
    return np.asarray(~np.isnan(label) if label.dtype.kind == "f" else label >= 0)


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
