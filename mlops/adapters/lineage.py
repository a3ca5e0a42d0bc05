"""From one prediction back to the bytes it was made from: model, run, code, data, checks, decision.

What was not recorded is said to be missing; nothing is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import predictions
from mlops.adapters.history import Moment, moment
from mlops.adapters.ledger import Entry, Ledger
from mlops.adapters.moves import effective
from mlops.adapters.registry import Registration
from mlops.adapters.run_record import RunRecord, read_record
from mlops.adapters.sql.engine import database
from mlops.core.canonical import from_json
from mlops.core.prediction import Labelled
from mlops.errors import DataError, RegistryError

if TYPE_CHECKING:
    from mlops.core.prediction import Logged
    from mlops.site import Site

_SNAPSHOT = "data/snapshot"


@dataclass(frozen=True)
class Answer:
    """The prediction.

    Attributes:
        id: as the server gave it.
        at_s: when, seconds since 1970.
        version: the model version that made it.
        example_id: hash of its features.
        index: the most probable class.
        probability: of that class.
        label: index of the newest label, or of a regression the number; nothing if none came.
        scores: probabilities of the classes, or of a regression the quantiles.
    """

    id: str
    at_s: float
    version: str
    example_id: str
    index: int
    probability: float
    label: float | None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Trace:
    """Everything behind one prediction.

    Attributes:
        project: registered-model name.
        answer: the prediction.
        model: the version as the ledger vouches for it.
        run: its MLflow run, with data and checks.
        move: what had put the version in service when it answered.
        missing: what is not recorded, one sentence each.
    """

    project: str
    answer: Answer
    model: Registration | None
    run: RunRecord | None
    move: Moment | None
    missing: tuple[str, ...]


def trace(site: Site, project: str, prediction_id: str) -> Trace:
    """Follow a prediction back to what it came from.

    Raises:
        DataError: if no such prediction was logged.
        LedgerError: if the record was changed outside this program.
        Unavailable: if the database or MLflow does not answer.
    """
    with database(site) as engine:
        found = predictions.find(engine, project, prediction_id)
        if found is None:
            msg = f"prediction {prediction_id[:64]!r}: not in the log of {project}"
            raise DataError(f"{msg}; the server's reply holds it as prediction_id")
        ledger = Ledger(engine, project)
        ledger.verify_chain()
        entries = ledger.entries()
    answer, missing = _answer(found), _unkept(found)
    model = _model(entries, answer.version)
    move = _move(entries, answer)
    if model is None:
        missing.append(f"version {answer.version} was never registered by this program")
    if move is None:
        missing.append(f"nothing in the ledger had put version {answer.version} in service then")
    run = None
    if model is not None:
        try:
            run = read_record(site, model.run_id)
        except RegistryError as error:
            missing.append(f"run {model.run_id}: {error}")
        missing += _gaps(model, run)
    return Trace(project, answer, model, run, move, tuple(missing))


def _unkept(found: Logged | Labelled) -> list[str]:
    """Say which columns of the row nobody may read."""
    made = (found.logged if isinstance(found, Labelled) else found).prediction
    if not made.redacted:
        return []
    return [f"the model saw {', '.join(made.redacted)}, which was not kept (redacted)"]


def _answer(found: Logged | Labelled) -> Answer:
    label = found.label.label if isinstance(found, Labelled) else None
    logged = found.logged if isinstance(found, Labelled) else found
    made, scores = logged.prediction, logged.scores
    index = int(scores.argmax())
    return Answer(
        made.id, made.at_s, made.version, made.example_id, index, float(scores[index]), label,
        tuple(scores.tolist()),
    )  # fmt: skip


def _model(entries: tuple[Entry, ...], version: str) -> Registration | None:
    rows = [e for e in entries if e.kind == "registered" and e.to_version == version]
    return from_json(Registration, rows[-1].body) if rows else None


def _move(entries: tuple[Entry, ...], answer: Answer) -> Moment | None:
    """Return the last move to the version that was made before it answered."""
    for entry in reversed(effective(entries)):
        if entry.to_version == answer.version and entry.at_s <= answer.at_s:
            return moment(entries, entry)
    return None


def _gaps(model: Registration, run: RunRecord | None) -> list[str]:
    gaps = [] if model.commit else ["the git commit is not recorded: it was no git repository"]
    if not model.data:
        gaps.append("the snapshot's md5 is not recorded: there was no dvc.lock")
    if run is None:
        return gaps
    locked = dict(run.md5s).get(_SNAPSHOT, "")
    if model.data and locked and locked != model.data:
        gaps.append(
            f"the ledger's snapshot {model.data} is not that of the run's dvc.lock {locked}"
        )
    return [*gaps, *run.missing]
