"""Step `ingest`: a source and the production rows → the snapshot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import structlog

from mlops.adapters import snapshot
from mlops.adapters.files import write_json
from mlops.adapters.sources import base
from mlops.core import features
from mlops.core.example import reserved
from mlops.core.grouping import groups, split_keys
from mlops.core.schema import MAX_CATEGORIES, TableSchema
from mlops.errors import DataError
from mlops.params.base import View
from mlops.params.data import DataSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.core.schema import Schema

_log = structlog.get_logger()
_US = 1_000_000

# `collect` writes a shard that it claimed anew when it is missing: deleting alone mends nothing.
_OTHER_SOURCE = (
    "set data.source back, or move them away and give the new source another project.name"
)
_DAMAGED = (
    "restore its shard from a copy, or delete it and run: mlops collect, which writes it anew "
    "from the prediction log while that holds its features"
)
_ODD_LABEL = (
    "send the right one by POST /feedback and run: mlops collect (the newest label wins); or, if "
    f"these rows belong to another source: {_OTHER_SOURCE}"
)


class IngestParams(View):
    """What `ingest` may see."""

    data: DataSection


@dataclass(frozen=True)
class _Merged:
    """Rows of which each example stands once; and base examples that carried two labels."""

    table: pa.Table
    duplicates: int
    conflicts: list[str]


def ingest(params: IngestParams, site: Site) -> Report:
    """Write the snapshot: `schema.json`, `ingest.json` and Parquet shards.

    Base examples whose key is reserved are left out. An example that comes twice is kept once, as
    it first came, so that its side and its time stay; the newest label wins: a later production
    shard's over an earlier one's, and over the source's.

    Raises:
        ParamsError: if the source is unknown.
        DataError: if the source or a production shard is wrong, or nothing is left.
    """
    _log.info("ingest: reading the source", source=params.data.source)
    examples = base.load(params.data, site.layout.root)
    table, held_back = _base_table(examples, params)
    production = _production_table(site.layout.production, examples.schema)
    schema = _grown(examples.schema, production)
    merged = _merge(table, production)
    folder = site.out(site.layout.snapshot)
    folder.mkdir(parents=True, exist_ok=True)
    snapshot.write_schema(folder, schema)
    _write_shards(folder, merged.table, schema)
    facts = {
        "rows": merged.table.num_rows,
        "classes": len(examples.schema.classes),
        "production": _count(merged.table, "origin", "production"),
        "reserved": held_back,
        "duplicates": merged.duplicates,
        "conflicts": len(merged.conflicts),
        "unlabelled": merged.table.column("label").null_count,
    }
    write_json(folder / "ingest.json", {**facts, "conflicting": merged.conflicts})
    classes = f" of {facts['classes']} classes" if facts["classes"] else ""
    summary = (
        f"{facts['rows']} examples{classes} from {params.data.source}, "
        f"{facts['production']} of them production rows; {held_back} reserved"
    )
    return Report(summary=summary, facts=dict(facts))


def _base_table(examples: base.Examples, params: IngestParams) -> tuple[pa.Table, int]:
    """Return the base rows that are not reserved, and how many are."""
    schema = examples.schema
    keys_of_groups = groups(examples.values, schema)
    keys = split_keys(examples.entities, keys_of_groups)
    share = params.data.reserve
    kept = [row for row, key in enumerate(keys) if not reserved(key, share=share)]
    if not kept:
        msg = f"params.yaml: data.reserve = {share} leaves none of {len(keys)} rows; lower it"
        raise DataError(msg)
    chosen = examples.take(np.array(kept, dtype=np.int64))
    labelled = snapshot.has_label(chosen.labels)
    columns = {
        "example_id": features.identities(features.canonical(chosen.values, schema), schema),
        "entity": list(chosen.entities),
        "group": [keys_of_groups[row] for row in kept],
        "observed_at": _times(chosen.observed_s),
        **snapshot.feature_columns(chosen.values, schema),
        "label": pa.array(chosen.labels, mask=~labelled),
        "label_source": ["source" if known else None for known in labelled],
        "origin": ["base"] * len(kept),
    }
    table = pa.table(columns).cast(snapshot.columns(schema))
    return table, len(keys) - len(kept)


def _times(observed_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pa.Array:
    missing = np.isnan(observed_s)
    micros = np.rint(np.where(missing, 0.0, observed_s) * _US).astype(np.int64)
    return pa.array(micros, pa.int64(), mask=missing).cast(pa.timestamp("us", tz="UTC"))


def _production_table(folder: Path, schema: Schema) -> pa.Table:
    """Read the production rows and hold them to the source's schema and to their own hashes."""
    table = snapshot.read_shards(folder, schema)
    try:
        values = snapshot.values(table, schema)
    except DataError as error:
        msg = f"{folder}: {error}; these rows belong to another source: {_OTHER_SOURCE}"
        raise DataError(msg) from None
    ids, labels = table.column("example_id").to_pylist(), table.column("label").to_pylist()
    found = features.identities(features.canonical(values, schema), schema)
    for name, actual in zip(ids, found, strict=True):
        if name != actual:
            msg = f"{folder}: example {name} is damaged: its bytes hash to {actual}; "
            raise DataError(msg + _DAMAGED)
    newest = {name: label for name, label in zip(ids, labels, strict=True) if label is not None}
    for name, label in newest.items():
        if schema.classes and not 0 <= label < len(schema.classes):
            msg = f"{folder}: example {name} has the label {label}; labels are 0 to "
            raise DataError(msg + f"{len(schema.classes) - 1}; {_ODD_LABEL}")
    return table


def _grown(schema: Schema, production: pa.Table) -> Schema:
    """Return the schema with the categories that came up in production, after those it has."""
    if not isinstance(schema, TableSchema):
        return schema
    columns = []
    for column in schema.columns:
        known = dict.fromkeys(column.categories)
        if column.kind == "category":
            seen = production.column(column.name).unique().to_pylist()
            known |= dict.fromkeys(name for name in seen if name is not None)
        columns.append(replace(column, categories=tuple(known)[:MAX_CATEGORIES]))
    return replace(schema, columns=tuple(columns))


def _merge(base_rows: pa.Table, production: pa.Table) -> _Merged:
    table = pa.concat_tables([base_rows, production])
    ids, labels = table.column("example_id").to_pylist(), table.column("label").to_pylist()
    row_of: dict[str, int] = {}
    label_of: dict[str, int] = {}
    conflicts: set[str] = set()
    for row, (name, label) in enumerate(zip(ids, labels, strict=True)):
        if name not in row_of:
            row_of[name] = label_of[name] = row
            continue
        before = labels[label_of[name]]
        newer = row >= base_rows.num_rows
        if label is not None and (newer or before is None):
            label_of[name] = row
        elif label is not None and label != before:
            conflicts.add(name)
    kept = table.take(pa.array(row_of.values(), pa.int64()))
    chosen = table.take(pa.array([label_of[name] for name in row_of], pa.int64()))
    for column in ("label", "label_source"):
        index = table.schema.get_field_index(column)
        kept = kept.set_column(index, table.schema.field(column), chosen.column(column))
    return _Merged(kept, table.num_rows - kept.num_rows, sorted(conflicts))


def _write_shards(folder: Path, table: pa.Table, schema: Schema) -> None:
    shards = -(-table.num_rows // snapshot.SHARD_ROWS)
    for number in range(shards):
        part = table.slice(number * snapshot.SHARD_ROWS, snapshot.SHARD_ROWS)
        snapshot.write_shard(folder / f"part-{number:05d}.parquet", part, schema)
        if shards > 1:
            _log.info("ingest: writing", shard=f"{number + 1}/{shards}")


def _count(table: pa.Table, column: str, value: str) -> int:
    return sum(1 for held in table.column(column).to_pylist() if held == value)
