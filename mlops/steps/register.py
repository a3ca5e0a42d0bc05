"""Step `register`: log the candidate to MLflow as one verified model version, once."""

from __future__ import annotations

import csv
import hashlib
import math
from typing import TYPE_CHECKING, Any

from mlops.adapters import dvc, files, git, model_card, publish, run_files, seal, store
from mlops.adapters.embedding import FILE as EMBEDDING
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.model_card import SNAPSHOT, Stated
from mlops.adapters.package import package
from mlops.adapters.publish import Lineage, Pages, Point, Record
from mlops.adapters.registry import (
    Registration,
    candidate_digest,
    registered_as,
    source_of,
)
from mlops.adapters.runtimes import model_file
from mlops.adapters.sql.engine import database
from mlops.core.canonical import flat, to_json
from mlops.core.card_text import markdown
from mlops.core.page import front, undecided
from mlops.errors import UnverifiedModel
from mlops.params.base import View
from mlops.params.card import CardSection
from mlops.params.data import DataSection
from mlops.params.evaluate import EvaluateSection
from mlops.params.holdout import HoldoutSection
from mlops.params.model import ModelSection
from mlops.params.monitoring import MonitoringSection
from mlops.params.project import ProjectSection
from mlops.params.split import SplitSection
from mlops.params.train import TrainSection
from mlops.params.tune import TuneSection
from mlops.site import Report

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.core.card import Card
    from mlops.site import Site

_CURVES = 8  # at most so many columns of the training's history
_ANEW = "delete the version and its logged model in MLflow, then run: mlops register"
_SEALED = ("weights.safetensors", "model.json", "seen.npy")


class RegisterParams(View):
    """What `register` sees: the name, how thresholds are calibrated, and what it writes down."""

    project: ProjectSection
    monitoring: MonitoringSection
    data: DataSection
    split: SplitSection
    holdout: HoldoutSection
    model: ModelSection
    tune: TuneSection
    train: TrainSection
    evaluate: EvaluateSection
    card: CardSection


def register(params: RegisterParams, site: Site) -> Report:
    """Make the candidate a model version; again, say which version it is already.

    Run, model and version are found by the candidate's digest, so a kill at any point leaves
    nothing that the next try would double. The version enters the ledger last, after its files
    were read back and verified: until then no alias of ours can point at it.

    Raises:
        DataError: if candidate or evaluation are missing.
        UnverifiedModel: if what MLflow holds is not what was uploaded.
        Unavailable: if MLflow or the database does not answer.
    """
    project = params.project.name
    candidate = candidate_digest(site)
    held = registered_as(site, project, candidate)
    if held is not None and source_of(site, project, held[0]) is not None:
        return _report(f"already registered as version {held[0]}", held[0], held[1], fresh=False)
    version, registration = _publish(params, site, _lineage(site, candidate))
    row = Row(
        kind="registered",
        key=hashlib.sha256(f"{candidate}:{version}".encode()).hexdigest(),
        at_s=site.now.timestamp(),
        actor=site.option("actor", "mlops register"),
        from_version=None,
        to_version=version,
        body=to_json(registration),
    )
    with database(site) as engine:
        Ledger(engine, project).append(row)
    return _report(f"registered version {version}", version, registration, fresh=True)


def _lineage(site: Site, candidate: str) -> Lineage:
    return Lineage(
        candidate=candidate,
        reason=site.option("reason", "manual"),
        incident=site.option("incident", ""),
        commit=git.commit(site.layout.root),
        data=dvc.locked_md5s(site.layout.root).get(SNAPSHOT, ""),
    )


def _publish(params: RegisterParams, site: Site, lineage: Lineage) -> tuple[str, Registration]:
    """Find or make run, logged model and version, and read the version back."""
    project = params.project.name
    found = publish.find_version(site, project, lineage.candidate)
    model = publish.find_model(site, project, lineage.candidate)
    if found is None:
        card = model_card.gather(
            site, Stated(project, params.data.source, params.card, params.data.target)
        )
        run_id, complete = publish.open_run(site, project, lineage)
        if not complete:
            publish.log_record(site, run_id, _record(params, site, card), lineage)
        if model is None:
            folder = site.work / "model"
            digest = package(site, folder, params.monitoring, card)
            model = publish.log_model(
                site, project, run_id, folder, digest=digest, lineage=lineage,
                figures=_figures(site.layout.evaluation / "metrics.json"),
            )  # fmt: skip
        pages = Pages(front(card), undecided(lineage.reason, card))
        found = publish.create_version(site, project, model, lineage, pages)
    run_id = str(found.run_id)
    registration = Registration(
        digest=_prove(site, found, publish.sealed_digest(model)), candidate=lineage.candidate,
        run_id=run_id, reason=lineage.reason, incident=lineage.incident, commit=lineage.commit,
        data=lineage.data, inputs=run_files.hash_inputs(site, run_id),
        start=model_card.start_words(_start(site)),
    )  # fmt: skip
    return str(found.version), registration


def _prove(site: Site, version: Any, sealed: str) -> str:
    """Download a version, verify it against what was sealed and the candidate; its digest.

    Its manifest is not believed: whoever can change the store's files can seal them anew.
    """
    scratch = site.work / "proof"
    files.remove(scratch)
    scratch.mkdir(parents=True)
    folder = store.copy(site, str(version.source), scratch)
    try:
        seal.verify(folder, sealed)
    except UnverifiedModel as error:
        msg = f"version {version.version}: not what was sealed and uploaded"
        raise UnverifiedModel(f"{msg} ({error}); {_ANEW}") from None
    optional = (EMBEDDING,) if (site.layout.candidate / EMBEDDING).is_file() else ()
    for name in (model_file(site.layout.candidate).name, *_SEALED, *optional):
        if files.sha256(folder / name) != files.sha256(site.layout.candidate / name):
            msg = f"version {version.version}: its {name} is not the candidate's; {_ANEW}"
            raise UnverifiedModel(msg)
    files.remove(scratch)
    return sealed


def _record(params: RegisterParams, site: Site, card: Card) -> Record:
    layout = site.layout
    plots = sorted(layout.evaluation.glob("*.png"))
    tables = sorted(layout.evaluation.glob("*.csv"))
    named = [
        (layout.params, ""),
        (layout.root / "dvc.lock", ""),
        (layout.tuned / "trials.csv", ""),
        (layout.evaluation / "intervals.json", "tables"),
    ]
    # `trace` reads what the snapshot holds and how it was checked here, for ever.
    named += [(layout.snapshot / name, "snapshot") for name in ("ingest.json", "schema.json")]
    named += [(layout.checks / "checks.json", "checks")]
    kept = [(path, folder) for path, folder in named if path.is_file()]
    kept += [(p, "plots") for p in plots] + [(p, "tables") for p in tables]
    best = layout.tuned / "best.json"
    chosen: dict[str, object] = {"best": files.read_json(best)} if best.is_file() else {}
    if start := _start(site):
        chosen["start"] = start
    difference = git.diff(layout.root)
    return Record(
        params=tuple(flat({**params.model_dump(mode="json"), **chosen})),
        points=_curves(layout.candidate / "history.csv"),
        files=tuple(kept),
        texts=(
            (model_card.MARKDOWN, markdown(card)),
            *((("uncommitted.diff", difference),) if difference else ()),
        ),
    )


def _start(site: Site) -> object:
    """Return with which weights the candidate's training began; nothing without a choice."""
    return files.read_json(site.layout.candidate / "model.json").get("start")


def _figures(metrics: Path) -> tuple[Point, ...]:
    """Return the evaluation's metrics, below MLflow's comfortable number of keys."""
    points = [
        Point(name, 0, float(value))
        for name, value in files.read_json(metrics).items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    return tuple(points[: publish.MAX_METRICS - _CURVES])


def _curves(history: Path) -> tuple[Point, ...]:
    """Return the training curves; none where there is no history."""
    points: list[Point] = []
    if not history.is_file():
        return ()
    with history.open(newline="", encoding="utf-8") as stream:
        for step, row in enumerate(csv.DictReader(stream)):
            for name, text in list(row.items())[:_CURVES]:
                value = _number(text)
                if name and value is not None and name not in ("epoch", "step"):
                    points.append(Point(f"curve/{name}", step, value))
    return tuple(points)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _report(words: str, version: str, registration: Registration, *, fresh: bool) -> Report:
    return Report(
        summary=f"{words} (digest {registration.digest[:12]})",
        facts={
            "version": version,
            "digest": registration.digest,
            "run_id": registration.run_id,
            "registered": fresh,
        },
    )
