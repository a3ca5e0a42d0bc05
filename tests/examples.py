"""Small snapshots for tests: striped images whose label can be seen, with entities and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlops.adapters.files import write_json
from mlops.adapters.snapshot import columns, write_schema, write_shard
from mlops.core.example import example_id
from mlops.core.grouping import near_duplicate_keys
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SCHEMA = ImageSchema(("flat", "steep", "none"), 6, 6, 1)
START = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)


def pictures(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return `count` different images of SCHEMA's shape."""
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 1), dtype=np.uint8)


def row(image: NDArray[np.uint8], **changes: Any) -> dict[str, Any]:
    """Return one base row of a snapshot, with changes."""
    return {
        "example_id": example_id(image.tobytes(), image.shape),
        "entity": None,
        "group": near_duplicate_keys(image[None])[0],
        "observed_at": None,
        "image": image.tobytes(),
        "label": 0,
        "label_source": "source",
        "origin": "base",
        **changes,
    }


def base_rows(count: int, seed: int = 0, **changes: Any) -> list[dict[str, Any]]:
    """Return base rows of all three classes in turn."""
    return [
        row(image, label=number % 3, **changes)
        for number, image in enumerate(pictures(count, seed))
    ]


def production_rows(count: int, seed: int = 1, **changes: Any) -> list[dict[str, Any]]:
    """Return labelled production rows, one a minute from START on."""
    return [
        {
            **one, "origin": "production", "label_source": "random",
            "observed_at": START + timedelta(minutes=number), **changes,
        }
        for number, one in enumerate(base_rows(count, seed))
    ]  # fmt: skip


def write_snapshot(
    folder: Path, rows: list[dict[str, Any]], schema: ImageSchema = SCHEMA, **facts: Any
) -> None:
    """Write rows as a snapshot of one shard."""
    write_schema(folder, schema)
    write_json(folder / "ingest.json", {"conflicting": [], **facts})
    write_rows_as_shard(folder / "part-00000.parquet", rows)


def write_rows_as_shard(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as one shard."""
    write_shard(path, pa.Table.from_pylist(rows, schema=columns(SCHEMA)), SCHEMA)
