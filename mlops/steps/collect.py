"""Step `collect`: labelled predictions, not yet collected → one immutable shard of production rows.

Kill-safe by its order: the labels are first claimed for the shard's name, in one transaction, and
the shard is written afterwards. A claim without its shard is found and fulfilled by the next run,
from the same rows, so nothing is lost and nothing stands twice.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from mlops.adapters import files, predictions
from mlops.adapters.cohort import SHARD_TIME
from mlops.adapters.snapshot import (
    columns,
    feature_columns,
    has_entities,
    read_schema,
    write_shard,
)
from mlops.adapters.sql.engine import database
from mlops.core import features
from mlops.core.grouping import groups
from mlops.core.prediction import REDACTED
from mlops.core.redacted import parse_redact
from mlops.core.schema import parse_schema
from mlops.errors import DataError
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from mlops.core.prediction import Labelled
    from mlops.core.schema import Schema
    from mlops.site import Site


class CollectParams(View):
    """The sections that `collect` may see."""

    project: ProjectSection


def collect(params: CollectParams, site: Site) -> Report:
    """Write labelled predictions that no shard holds yet as one new shard.

    The newest label of a prediction wins; equal examples in one shard stand once, with the newest
    label. A prediction that is labelled anew after it was collected is collected again: `ingest`
    lets the later shard win. Rows of which columns are redacted are left out.

    Raises:
        DataError: if no schema is known, logged features do not fit it, or `MLOPS_REDACT` hashes
            entities that are plain in the snapshot, or leaves plain what is hashed there.
        Unavailable: if the database cannot be reached.
    """
    project, folder = params.project.name, site.layout.production
    with database(site) as engine:
        mended = _mend(engine, project, site)
        found = predictions.uncollected(engine, project)
        unfit = predictions.count_unfit(engine, project)
        found, apart = _of_one_kind(found, site)
        if not found:
            return _nothing(mended, unfit, apart)
        schema = _schema(site, project)
        table = _table(found, schema)
        name = _name(table, site.now)
        seqs = [seq for row in found for seq in row.label_seqs]
        predictions.claim(engine, project, seqs, name)
    write_shard(folder / name, table, schema)
    text = f"{table.num_rows} labelled predictions → data/production/{name}"
    facts = {"rows": table.num_rows, "shard": name, "mended": mended}
    return Report(text + _hint(unfit, apart), {**facts, **_counts(unfit)})


def _of_one_kind(found: list[Labelled], site: Site) -> tuple[list[Labelled], str]:
    """Leave out rows whose entity is hashed where the snapshot's are plain, or the reverse.

    One entity under two names would stand on two sides of the split, and be its own test.

    Returns:
        The rows that stay, and in words what was left out.
    """
    redacting = "entity" in parse_redact(site.settings.redact).fields
    plain, hashed = has_entities(site.layout.snapshot, REDACTED)
    if not (plain or hashed):
        plain, hashed = has_entities(site.layout.production, REDACTED)
    stays = "plain" if plain else "hashed" if hashed or redacting else "plain"
    kept = [row for row in found if _kind(row) in ("none", stays)]
    apart = len(found) - len(kept)
    if not apart:
        return found, ""
    other = "hashed" if stays == "plain" else "plain"
    if redacting == (other == "hashed"):
        remedy = (
            "take entity out of MLOPS_REDACT, or name no data.entity in params.yaml and run: "
            "mlops ingest"
            if redacting
            else "put entity back into MLOPS_REDACT"
        )
        raise DataError(
            f"MLOPS_REDACT = {site.settings.redact!r}: {apart} labelled predictions have {other} "
            f"entities, those of the data are {stays}, so one entity could stand on two sides of "
            f"the split; {remedy}"
        )
    return kept, f"; {apart} are left out: their entities are {other}, the data's are {stays}"


def _kind(row: Labelled) -> str:
    entity = row.logged.prediction.entity
    if entity is None:
        return "none"
    return "hashed" if entity.startswith(REDACTED) else "plain"


def _mend(engine: sa.Engine, project: str, site: Site) -> int:
    """Write shards that were claimed by a run which was killed before it wrote them."""
    folder = site.layout.production
    missing = [
        name
        for name in predictions.claimed_shards(engine, project)
        if not (folder / name).is_file()
    ]
    for name in missing:
        rows = predictions.claimed(engine, project, name)
        if any(row.logged.prediction.features is None for row in rows):
            msg = f"{folder / name}: missing, and its features are gone; restore it: dvc pull"
            raise DataError(msg)
        schema = _schema(site, project)
        write_shard(folder / name, _table(rows, schema), schema)
    return len(missing)


def _table(rows: Sequence[Labelled], schema: Schema) -> pa.Table:
    """Return rows as the columns of a shard, equal examples once, in the order of the log."""
    newest: dict[str, Labelled] = {}
    for row in sorted(rows, key=lambda row: (row.label.at_s, row.label_seqs)):
        newest[row.logged.prediction.example_id] = row
    kept = sorted(newest.values(), key=lambda row: row.logged.seq)
    origins = [row.logged.prediction for row in kept]
    values = features.read([_content(row, schema) for row in kept], schema)
    observed = [datetime.fromtimestamp(row.at_s, UTC) for row in origins]
    found = {
        "example_id": [row.example_id for row in origins],
        "entity": [row.entity for row in origins],
        "group": groups(values, schema),
        "observed_at": observed,
        **feature_columns(values, schema),
        "label": [row.label.label for row in kept],
        "label_source": [row.label.label_source for row in kept],
        "origin": ["production"] * len(kept),
    }
    return pa.table(found).cast(columns(schema))


def _content(row: Labelled, schema: Schema) -> bytes:
    logged = row.logged.prediction
    content = logged.features or b""
    if not features.fits(content, schema):
        msg = (
            f"prediction {logged.id} (version {logged.version}): {len(content)} bytes are no "
            f"{schema.kind} of the schema {schema.shape}; rows of another schema cannot be "
            "collected"
        )
        raise DataError(msg)
    return content


def _name(table: pa.Table, now: datetime) -> str:
    """Return a name that sorts by time and ends with a hash of what the shard holds."""
    digest = hashlib.blake2b(digest_size=6)
    for row in zip(*(table.column(n).to_pylist() for n in ("example_id", "label")), strict=True):
        digest.update(repr(row).encode())
    return f"{now.astimezone(UTC).strftime(SHARD_TIME)}-{digest.hexdigest()}.parquet"


def _schema(site: Site, project: str) -> Schema:
    """Return the schema of the snapshot, else that of the version in service."""
    try:
        return read_schema(site.layout.snapshot)
    except DataError:
        pointer = site.layout.serving / project / "current.json"
        if not pointer.is_file():
            raise
    model = Path(str(files.read_json(pointer)["folder"])) / "model.json"
    return parse_schema(files.read_json(model).get("schema"), str(model))


def _nothing(mended: int, unfit: tuple[int, int], apart: str) -> Report:
    text = "nothing to collect: no labelled prediction is left"
    if mended:
        text = f"{mended} interrupted shards written; nothing else to collect"
    facts = {"rows": 0, "shard": None, "mended": mended}
    return Report(text + _hint(unfit, apart), {**facts, **_counts(unfit)})


def _counts(unfit: tuple[int, int]) -> dict[str, int]:
    return dict(zip(("hidden", "redacted"), unfit, strict=True))


def _hint(unfit: tuple[int, int], apart: str) -> str:
    """Say what was left out, and why: a model must not learn that redacted means missing."""
    hidden, redacted = unfit
    if hidden:
        apart += (
            f"; {hidden} more are labelled but were logged without features "
            "(MLOPS_PAYLOADS=hash): set MLOPS_PAYLOADS=keep to retrain from production"
        )
    if redacted:
        apart += (
            f"; {redacted} more are labelled but columns of theirs are redacted (MLOPS_REDACT): "
            "what the model saw there was not kept, so nothing can learn from them"
        )
    return apart
