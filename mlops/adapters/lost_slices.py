"""Which part of the rows a loss came from: noted in the incident when labels show it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from mlops.adapters import incidents, measured, windows
from mlops.adapters.reference import read_reference
from mlops.adapters.sql.tables import predictions
from mlops.core.assessment import Scored
from mlops.core.columns import look_names
from mlops.core.example import key_hash
from mlops.core.features import decode, fits
from mlops.core.grouping import entity_keys
from mlops.core.lost_slices import Side, find_lost, level
from mlops.core.quality import hits
from mlops.core.redacted import blank_rows, looks_of, union
from mlops.core.schema import outputs
from mlops.core.slices import parts, properties, terciles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.asking import Sections
    from mlops.adapters.incidents import Incident
    from mlops.core.lost_slices import LostSlice
    from mlops.core.schema import Schema

_LAST_SEQ = 2**62
_MORE = 2  # times as many labels make another look: each costs of the one level of all
_CHUNK_ROWS = 256  # of features in memory at once: only what they look like is kept


@dataclass(frozen=True)
class _Rows:
    """Labelled rows, one of each entity.

    Attributes:
        scored: their labels and answers.
        looks: float64 (N, C): their columns, NaN where a number is missing.
    """

    scored: Scored
    looks: NDArray[np.float64]


def note(
    engine: sa.Engine,
    project: str,
    sections: Sections,
    serving: tuple[str, Callable[[], Path]],
    *,
    now_s: float,
) -> None:
    """Note in open incidents that cost accuracy which part of the rows lost it.

    Again once twice as many labels measure them; run again, it changes nothing.

    Args:
        engine: the project's database.
        project: its name.
        sections: of `params.yaml`.
        serving: the version in service, and what fetches its folder.
        now_s: seconds since 1970.

    Raises:
        MonitorError: if the version's reference is unusable.
    """
    version, fetch = serving
    expected = measured.expect(sections.labels, now_s)
    with engine.connect() as connection:
        costly = [i for i in incidents.find_all_open(connection, project) if _due(i, version)]
        if not costly:
            return
        folder, found = fetch(), []
        for held in costly:
            span = (held.body.since_seq, _LAST_SEQ)
            told = measured.outcomes(connection, project, version, span, expected=expected)
            found.append(compare(connection, folder, told, level(held.body.looks + 1)))
    for held, lost in zip(costly, found, strict=True):
        _save(engine, held, lost, now_s)


def _due(held: Incident, version: str) -> bool:
    body = held.body
    costly = held.kind == "drift" and held.version == version and body.triage == "costly"
    return costly and body.labelled >= max(_MORE * body.sliced, 1)


def compare(
    connection: sa.Connection, folder: Path, told: Sequence[sa.Row[Any]], alpha: float
) -> tuple[LostSlice, ...]:
    """Return the parts that lost more than the others since a version's reference.

    What is redacted in any of the rows is no part, on neither side.

    Args:
        connection: to the database.
        folder: of the version.
        told: of `mlops.adapters.measured.outcomes`.
        alpha: level of this look.

    Raises:
        MonitorError: if the version's reference is unusable.
    """
    redacted = union(row.redacted for row in told)
    schema, before = _reference(folder, redacted)
    now = _current(connection, told, schema, redacted)
    then, since = _sides(schema, (before, now), looks_of(schema, redacted))
    return find_lost(then, since, alpha)


def _sides(schema: Schema, both: tuple[_Rows, _Rows], unseen: tuple[str, ...]) -> list[Side]:
    """Return two sides to compare; columns of which nothing is seen are asked about no part.

    An answer that is none is wrong, as where accuracy is measured.
    """
    at = [n for n, name in enumerate(look_names(schema)) if name not in unseen]
    names = tuple(look_names(schema)[n] for n in at)
    cuts, sides = terciles(both[0].looks[:, at]), []
    for rows in both:
        s = rows.scored
        right_N = hits(s.label, s.probabilities, regression=not schema.classes)
        right_N &= np.isfinite(s.probabilities).all(axis=1)
        sides.append(Side(right_N, parts(s, schema, rows.looks[:, at], names, cuts)))
    return sides


def _save(engine: sa.Engine, held: Incident, lost: tuple[LostSlice, ...], now_s: float) -> None:
    words = tuple(map(str, lost))
    with engine.begin() as connection:
        windows.serialise(connection)
        newest = incidents.get(connection, held.project, held.id)
        if newest.state != "open" or newest.version != held.version:
            return  # it was closed or taken over meanwhile: these labels are history
        body = replace(
            newest.body, slices=words or newest.body.slices, sliced=held.body.labelled,
            looks=held.body.looks + 1,
        )  # fmt: skip
        if lost and not newest.body.slices:
            body = body.told(now_s, f"lost more than the others: {words[0]}")
        incidents.save(connection, replace(newest, body=body))


def _reference(folder: Path, redacted: tuple[str, ...]) -> tuple[Schema, _Rows]:
    rows = read_reference(folder)
    schema, known = rows.schema, rows.known
    key = entity_keys(rows.key[known], rows.features[known], schema)
    seen = blank_rows(rows.features[known], schema, redacted)
    looks = properties(seen, schema)[1]
    return schema, _alone(rows.label[known], rows.answers[known], key, looks)


def _current(
    connection: sa.Connection,
    told: Sequence[sa.Row[Any]],
    schema: Schema,
    redacted: tuple[str, ...],
) -> _Rows:
    """Return labelled predictions whose features were kept, and are of the schema."""
    count, dtype = outputs(schema), np.int64 if schema.classes else np.float64
    kept: list[sa.Row[Any]] = []
    looked = [np.zeros((0, len(look_names(schema))))]
    for start in range(0, len(told), _CHUNK_ROWS):
        chunk = told[start : start + _CHUNK_ROWS]
        features = _features(connection, [row.seq for row in chunk])
        fit = [
            row for row in chunk
            if len(row.probabilities) == 4 * count and fits(features.get(row.seq, b""), schema)
        ]  # fmt: skip
        if fit:
            arrays = decode([features[row.seq] for row in fit], schema)
            looked.append(properties(blank_rows(arrays, schema, redacted), schema)[1])
            kept += fit
    answers = np.frombuffer(b"".join(row.probabilities for row in kept), dtype="<f4")
    key = np.array([key_hash(row.entity or f"row:{row.seq}") for row in kept], dtype=np.uint64)
    label = np.array([row.label for row in kept], dtype=dtype)
    return _alone(label, answers.reshape(-1, count), key, np.concatenate(looked))


def _features(connection: sa.Connection, seqs: Sequence[int]) -> dict[int, bytes]:
    """Return the canonical bytes of predictions by their `seq`, of those whose bytes were kept."""
    asked = predictions.c.seq.in_(seqs) & predictions.c.features.is_not(None)
    rows = connection.execute(sa.select(predictions.c.seq, predictions.c.features).where(asked))
    return {row.seq: row.features for row in rows}


def _alone(
    label: NDArray[Any],
    answers: NDArray[np.float32],
    key: NDArray[np.uint64],
    column_NC: NDArray[np.float64],
) -> _Rows:
    """Return one row of each entity: only independent rows have the test's level."""
    first = np.sort(np.unique(key, return_index=True)[1])
    nowhere = np.zeros(len(first), dtype=bool)
    return _Rows(Scored(label[first], answers[first], key[first], nowhere), column_NC[first])
