"""Champion, candidate and anchor on the same rows: what the gate is given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import files
from mlops.adapters.runtimes import open_model
from mlops.adapters.snapshot import Rows, read_rows
from mlops.adapters.trial import try_in_server
from mlops.core.disturbance import disturb_mix
from mlops.core.exam import Anchor, Exam, Memory, Paired, Trial
from mlops.core.example import sampled
from mlops.core.schema import categories, compatible, parse_schema
from mlops.core.slices import properties
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.exam import Look
    from mlops.core.schema import Schema
    from mlops.site import Site

_DAY_S = 86_400.0
_CORRUPTED_ROWS, _SEVERITY = 300, 3


@dataclass(frozen=True)
class Entrant:
    """A model as it enters.

    Attributes:
        who: `candidate`, `champion` or `anchor`.
        version: its number in the registry.
        digest: of its manifest, as the ledger holds it.
        folder: its verified files; nothing if they could not be had.
        fault: why not.
    """

    who: str
    version: str
    digest: str
    folder: Path | None
    fault: str = ""


@dataclass(frozen=True)
class Entered:
    """Who enters.

    Attributes:
        candidate: the version to be judged.
        champion: the one in service, if any.
        anchor: the fixed one, where it is neither and a margin lets losses add up.
    """

    candidate: Entrant
    champion: Entrant | None
    anchor: Entrant | None


@dataclass(frozen=True)
class Contest:
    """Models and the rows that they are compared on.

    Attributes:
        exam: what the gate looks at; its cohort is still to be counted.
        data_digest: over ids, labels, keys and times of the rows.
    """

    exam: Exam
    data_digest: str


def rows_of(site: Site, recent_days: float, *, sample: float, until_s: float) -> tuple[Rows, Rows]:
    """Return the recent labelled production rows and the base rows, both of the test side.

    Only matured rows of the random sample judge: rows that active learning chose, or that nobody
    was to label, train only; of a time whose labels may still come, those that came first would
    mislead. A row older than `recent_days` is not recent.

    Args:
        site: where the prepared rows lie.
        recent_days: how old a recent row may be.
        sample: share of the examples that are to be labelled.
        until_s: how young, seconds since 1970: see `mlops.adapters.cohort.matured_until_s`.

    Raises:
        DataError: if the prepared files are missing or damaged.
    """
    recent = read_rows(site.layout.prepared / "recent.npz")
    base = read_rows(site.layout.prepared / "test.npz")
    now_s = site.now.timestamp()
    with np.errstate(invalid="ignore"):
        timely = recent.observed_s >= now_s - recent_days * _DAY_S
        timely &= recent.observed_s <= until_s
    chosen = timely & recent.labelled & recent.production & (recent.label_source != "active")
    chosen &= np.array([sampled(str(i), share=sample) for i in recent.example_id], dtype=bool)
    return recent.take(chosen), base.take(base.labelled & ~base.production)


def data_digest(*parts: Rows) -> str:
    """Return a hash over which rows with which labels, keys and times are compared."""
    seal = hashlib.sha256()
    for rows in parts:
        for value in (rows.example_id, rows.label, rows.key, rows.observed_s):
            plain = np.ascontiguousarray(value.astype("S64") if value.dtype.kind == "U" else value)
            seal.update(f"{plain.dtype.str}{plain.shape}".encode() + plain.tobytes())
    return seal.hexdigest()


def hold(
    site: Site, rows: tuple[Rows, Rows], entered: Entered, earlier: tuple[Look, ...]
) -> Contest:
    """Score every model on the same rows; what cannot be had becomes a fault, not a guess.

    Args:
        site: where the prepared rows lie.
        rows: recent and base rows, as `rows_of` gave them.
        entered: the models.
        earlier: verdicts on recent rows.
    """
    recent, base = rows
    path = site.layout.prepared / "split.json"
    split: dict[str, object] = files.read_json(path)
    schema = parse_schema(split.get("schema"), f"{path}: schema")
    corrupted = _corrupted(base, schema)
    parts = (recent.features, base.features, corrupted.features)
    first = _enter(entered.candidate, split, parts)
    second = None if entered.champion is None else _enter(entered.champion, split, parts)
    third = None if entered.anchor is None else _enter(entered.anchor, split, parts[:1])
    trial, trial_faults = _try(entered.candidate)
    everyone = [e for e in (first, second, third) if e is not None]
    names, pairs = _pair((recent, base, corrupted), (first, second, third), schema)
    known = categories(schema)
    exam = Exam(
        classes=schema.classes,
        recent=pairs[0], base=pairs[1], corrupted=pairs[2],
        candidate=first.memory,
        champion=second.memory if second else None,
        anchor=Anchor(entered.anchor.version, third.memory) if entered.anchor and third else None,
        trial=trial,
        looks=earlier,
        columns=names,
        categories=tuple(known.get(name, ()) for name in names),
        faults=(*(f for e in everyone for f in e.faults), *trial_faults),
    )  # fmt: skip
    return Contest(exam, data_digest(recent, base))


@dataclass(frozen=True)
class _Scored:
    """What one model said, as far as it could be asked: one array per part of the rows."""

    memory: Memory = field(default_factory=lambda: Memory(None, None))
    said: tuple[NDArray[np.float32] | None, ...] = (None, None, None)
    faults: tuple[str, ...] = ()


def _pair(
    parts: tuple[Rows, ...],
    scored: tuple[_Scored, _Scored | None, _Scored | None],
    schema: Schema,
) -> tuple[tuple[str, ...], list[Paired]]:
    candidate, champion, anchor = scored
    names: tuple[str, ...] = ()
    pairs = []
    for place, rows in enumerate(parts):
        names, values = properties(rows.features, schema)
        pairs.append(
            Paired(
                rows.label,
                candidate.said[place],
                champion.said[place] if champion else None,
                rows.key,
                rows.observed_s,
                anchor.said[0] if anchor and place == 0 else None,
                values,
            )
        )
    return names, pairs


def _enter(entrant: Entrant, split: dict[str, object], parts: tuple[np.ndarray, ...]) -> _Scored:
    if entrant.folder is None:
        return _Scored(faults=(entrant.fault or f"the {entrant.who} could not be loaded",))
    try:
        memory = _memory(entrant, entrant.folder, split)
        session = open_model(entrant.folder)
        said = tuple(session.probabilities(features) for features in parts)
    except DataError as error:
        return _Scored(faults=(f"the {entrant.who}: {error}",))
    return _Scored(memory, said)


def _try(candidate: Entrant) -> tuple[Trial | None, tuple[str, ...]]:
    if candidate.folder is None:
        return None, ()
    try:
        return try_in_server(candidate.folder, candidate.digest), ()
    except DataError as error:
        return None, (str(error),)


def _corrupted(base: Rows, schema: Schema) -> Rows:
    """Return some base rows after a fixed mix of every corruption, the same for every model."""
    chosen = base.take(np.argsort(base.key, kind="stable")[:_CORRUPTED_ROWS])
    changed = disturb_mix(chosen.features, schema, _SEVERITY, np.random.default_rng(0))
    return Rows(**{**vars(chosen), "features": changed})


def _memory(entrant: Entrant, folder: Path, split: dict[str, object]) -> Memory:
    """Read what a model was fitted on, and hold its schema and split against those of the rows."""
    described = files.read_json(folder / "model.json")
    own, theirs = (
        parse_schema(content.get("schema"), "its schema") for content in (described, split)
    )
    if not compatible(own, theirs):
        raise DataError("was made for other classes or another shape than the prepared rows")
    if entrant.who == "candidate" and described.get("split") != split.get("split"):
        msg = (
            f"was split by {described.get('split')}, the prepared rows by {split.get('split')}: "
            "what it was trained on cannot be told from what judges it; run: dvc repro"
        )
        raise DataError(msg)
    until = described.get("trained_until_s")
    if until is not None and (isinstance(until, bool) or not isinstance(until, int | float)):
        raise DataError("model.json: trained_until_s is no number")
    path = folder / "seen.npy"
    try:
        seen = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        msg = f"{path.name}: unreadable ({error})"
        raise DataError(msg) from None
    if seen.dtype != np.uint64 or seen.ndim != 1 or len(seen) == 0:
        msg = f"{path.name}: holds no keys"
        raise DataError(msg)
    return Memory(seen, None if until is None else float(until))
