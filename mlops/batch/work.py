"""Score one part: rows in, one Parquet file out, whole or not at all. Runs on any machine."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops.adapters import files, seal
from mlops.batch.source import open_source
from mlops.core.features import canonical, identities
from mlops.core.schema import QUANTILES
from mlops.errors import DataError
from mlops.serving.ids import Minter
from mlops.serving.model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.batch.job import Job, Part
    from mlops.batch.source import Batch
    from mlops.core.schema import Schema


@dataclass(frozen=True)
class Order:
    """What a worker needs to know; small, since it travels to other machines.

    Attributes:
        job: what is scored with what.
        source: path of the input, the same on every machine.
        folder: of the verified version, likewise.
        output: folder of the parts, likewise.
        batch_rows: rows in memory at a time.
        key: with which prediction ids are made.
    """

    job: Job
    source: str
    folder: str
    output: str
    batch_rows: int
    key: bytes


@dataclass(frozen=True)
class Made:
    """One part that is done.

    Attributes:
        part: which.
        unreadable: rows of it that could not be read.
        process: id of the process that made it.
        node: where, for engines of many machines; empty for here.
        seconds: that it took.
    """

    part: Part
    unreadable: int
    process: int
    seconds: float
    node: str = ""


def make(order: Order, part: Part) -> Made:
    """Score one part and write its file.

    Raises:
        DataError: if the input is no longer what it was, or the model's answers hold NaN.
        UnverifiedModel: if the model's files are not the ledger's.
    """
    began = time.monotonic()
    model = _model(order.folder, order.job.version, order.job.digest)
    source = open_source(Path(order.source), model.schema)
    minter = Minter(order.key, order.job.project)
    unreadable, at = 0, part.start
    columns = fields(model.schema).with_metadata(_metadata(order.job, model.schema))
    with files.replacing(Path(order.output) / part.name) as temporary:
        with pq.ParquetWriter(temporary, columns, compression="zstd") as writer:
            for batch in source.batches(part.start, part.stop, order.batch_rows):
                writer.write_table(_table(batch, model, minter, order.job, columns))
                unreadable += len(batch.unreadable)
                at = batch.start + batch.count
        if at != part.stop:
            msg = f"{order.source}: row {at} is missing; it changed while it was scored"
            raise DataError(msg)
    return Made(part, unreadable, os.getpid(), time.monotonic() - began)


@lru_cache(maxsize=2)
def _model(folder: str, version: str, digest: str) -> Model:
    """Verify, load and replay a version once in each process."""
    seal.verify(Path(folder), digest)
    model = Model(Path(folder), version)
    model.replay(Path(folder))
    return model


def fields(schema: Schema) -> pa.Schema:
    """Return the columns of every part.

    `row` is the place in the whole input, `source` the image file; `error` says why a row could
    not be read: then it has no answer. A classifier's `probabilities` are in the order of the
    classes, which the file's metadata names (`mlops.classes`).
    """
    answer = [
        pa.field("class", pa.string()), pa.field("label", pa.int32()),
        pa.field("probability", pa.float32()), pa.field("probabilities", pa.list_(pa.float32())),
    ] if schema.classes else [
        pa.field("value", pa.float32()), pa.field("quantiles", pa.list_(pa.float32())),
    ]  # fmt: skip
    return pa.schema([
        pa.field("row", pa.int64(), nullable=False), pa.field("source", pa.string()),
        pa.field("example_id", pa.string()), pa.field("prediction_id", pa.string()),
        pa.field("model_version", pa.string(), nullable=False), *answer,
        pa.field("error", pa.string()),
    ])  # fmt: skip


def _metadata(job: Job, schema: Schema) -> dict[bytes, bytes]:
    named = list(schema.classes or [f"{level:g}" for level in QUANTILES])
    return {
        b"mlops.job": job.key.encode(), b"mlops.project": job.project.encode(),
        b"mlops.digest": job.digest.encode(), b"mlops.classes": json.dumps(named).encode(),
    }  # fmt: skip


def _table(batch: Batch, model: Model, minter: Minter, job: Job, columns: pa.Schema) -> pa.Table:
    schema, bad = model.schema, batch.unreadable
    outputs = model.predict(_arrays(batch, schema))
    good = np.array([place not in bad for place in range(batch.count)], dtype=bool)
    if not np.isfinite(outputs[good]).all():
        msg = f"version {job.version}: its answers hold NaN or infinity; the output would be wrong"
        raise DataError(msg)
    ids = minter.numbered(job.key, job.started_ns + batch.start, batch.count)
    content: dict[str, Any] = {
        "row": np.arange(batch.start, batch.start + batch.count),
        "source": list(batch.names) or [None] * batch.count,
        "example_id": _only(identities(canonical(batch.values, schema), schema), good),
        "prediction_id": _only(ids, good),
        "model_version": [job.version] * batch.count,
        "error": [bad.get(place) for place in range(batch.count)],
        **_answers(outputs, good, schema),
    }
    arrays = [pa.array(content[field.name], field.type) for field in columns]
    return pa.Table.from_arrays(arrays, schema=columns)


def _arrays(batch: Batch, schema: Schema) -> NDArray[Any]:
    from mlops.core.features import arrays

    return arrays(batch.values, schema)


def _answers(
    outputs: NDArray[np.float32], good: NDArray[np.bool_], schema: Schema
) -> dict[str, Any]:
    if not schema.classes:
        middle = outputs[:, outputs.shape[1] // 2]
        return {"value": _only(middle, good), "quantiles": _only(list(outputs), good)}
    best = outputs.argmax(axis=1)
    names = np.array(schema.classes, dtype=object)[best]
    return {
        "class": _only(names, good), "label": _only(best, good),
        "probability": _only(outputs.max(axis=1), good),
        "probabilities": _only(list(outputs), good),
    }  # fmt: skip


def _only(values: Any, good: NDArray[np.bool_]) -> list[Any]:
    """Return the values, None where a row could not be read."""
    return [value if keep else None for value, keep in zip(values, good, strict=True)]
