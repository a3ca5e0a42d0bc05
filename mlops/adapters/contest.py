"""Champion and candidate on the same rows: what the gate is given."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import files
from mlops.adapters.onnx_session import Session
from mlops.adapters.snapshot import Rows, read_rows
from mlops.core.exam import Exam, Memory, Paired
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.site import Site

_DAY_S = 86_400.0
_WARM_RUNS, _TIMED_RUNS = 20, 200


@dataclass(frozen=True)
class Contest:
    """Two models and the rows that they are compared on.

    Attributes:
        exam: what the gate looks at.
        data_digest: over ids, labels, keys and times of the rows.
    """

    exam: Exam
    data_digest: str


@dataclass(frozen=True)
class Entrant:
    """A model as it enters.

    Attributes:
        who: `candidate` or `champion`.
        folder: its verified files; nothing if they could not be had.
        fault: why not.
    """

    who: str
    folder: Path | None
    fault: str = ""


def rows_of(site: Site, recent_days: float) -> tuple[Rows, Rows]:
    """Return the recent labelled production rows and the base rows, both of the test side.

    Rows whose labels were chosen by active learning train only; a row from the future or older
    than `recent_days` is not recent.

    Raises:
        DataError: if the prepared files are missing or damaged.
    """
    recent = read_rows(site.layout.prepared / "recent.npz")
    base = read_rows(site.layout.prepared / "test.npz")
    now_s = site.now.timestamp()
    with np.errstate(invalid="ignore"):
        timely = (recent.observed_s >= now_s - recent_days * _DAY_S) & (recent.observed_s <= now_s)
    chosen = timely & (recent.label >= 0) & recent.production & (recent.label_source != "active")
    return recent.take(chosen), base.take((base.label >= 0) & ~base.production)


def data_digest(*parts: Rows) -> str:
    """Return a hash over which rows with which labels, keys and times are compared."""
    seal = hashlib.sha256()
    for rows in parts:
        for value in (rows.example_id, rows.label, rows.key, rows.observed_s):
            plain = np.ascontiguousarray(value.astype("S64") if value.dtype.kind == "U" else value)
            seal.update(f"{plain.dtype.str}{plain.shape}".encode() + plain.tobytes())
    return seal.hexdigest()


def hold(
    site: Site, recent: Rows, base: Rows, candidate: Entrant, champion: Entrant | None
) -> Contest:
    """Score both models on both sets of rows; what cannot be had becomes a fault, not a guess."""
    stated: object = files.read_json(site.layout.prepared / "split.json").get("schema")
    classes = _classes(site.layout.prepared / "split.json", stated)
    first = _enter(candidate, stated, recent, base)
    second = None if champion is None else _enter(champion, stated, recent, base)
    rival = second or _Scored()
    exam = Exam(
        classes=classes,
        recent=Paired(recent.label, first.recent, rival.recent, recent.key, recent.observed_s),
        base=Paired(base.label, first.base, rival.base, base.key, base.observed_s),
        candidate=first.memory,
        champion=second.memory if second else None,
        latency_ms=first.latency_ms,
        faults=(*first.faults, *(second.faults if second else ())),
    )
    return Contest(exam, data_digest(recent, base))


@dataclass(frozen=True)
class _Scored:
    """What one model said, as far as it could be asked."""

    memory: Memory = field(default_factory=lambda: Memory(None, None))
    recent: NDArray[np.float32] | None = None
    base: NDArray[np.float32] | None = None
    latency_ms: float | None = None
    faults: tuple[str, ...] = ()


def _enter(entrant: Entrant, schema: object, recent: Rows, base: Rows) -> _Scored:
    if entrant.folder is None:
        return _Scored(faults=(entrant.fault or f"the {entrant.who} could not be loaded",))
    try:
        memory = _memory(entrant.folder, schema)
        session = Session(entrant.folder / "model.onnx")
        on_recent, on_base = (session.probabilities(rows.image) for rows in (recent, base))
    except DataError as error:
        return _Scored(faults=(f"the {entrant.who}: {error}",))
    return _Scored(memory, on_recent, on_base, _latency_ms(session, base.image))


def _memory(folder: Path, schema: object) -> Memory:
    """Read what a model was fitted on, and hold its schema against that of the rows."""
    described = files.read_json(folder / "model.json")
    if described.get("schema") != schema:
        raise DataError("was made for other classes or another shape than the prepared rows")
    until = described.get("trained_until_s")
    if until is not None and (isinstance(until, bool) or not isinstance(until, int | float)):
        raise DataError("model.json: trained_until_s is no number")
    path = folder / "seen.npy"
    try:
        seen = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        msg = f"{path.name}: unreadable ({error})"
        raise DataError(msg) from None
    if seen.dtype != np.uint64 or seen.ndim != 1:
        msg = f"{path.name}: holds no keys"
        raise DataError(msg)
    return Memory(seen, None if until is None else float(until))


def _classes(path: Path, schema: object) -> tuple[str, ...]:
    classes = schema.get("classes") if isinstance(schema, dict) else None
    if not isinstance(classes, list) or len(classes) < 2:
        msg = f"{path}: schema.classes must name two classes or more; run: mlops prepare"
        raise DataError(msg)
    return tuple(str(name) for name in classes)


def _latency_ms(session: Session, images: NDArray[np.uint8]) -> float | None:
    """Return the 95th percentile of one row in milliseconds."""
    if len(images) == 0:
        return None
    taken = []
    for run in range(_WARM_RUNS + _TIMED_RUNS):
        row = images[run % len(images)][None]
        start = time.perf_counter()
        session.probabilities(row)
        taken.append(time.perf_counter() - start)
    return float(np.quantile(taken[_WARM_RUNS:], 0.95) * 1000)
