"""Versions and decisions without training: real files, registry and ledger, made-up verdicts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlops.adapters import mlflow, registry, seal
from mlops.adapters.ledger import Entry, Ledger, Row
from mlops.adapters.record import Judged, record
from mlops.adapters.registry import Registration
from mlops.adapters.sql.engine import database
from mlops.core.canonical import to_json
from mlops.core.decision import Decision, Evidence, Metric, Verdict, Version

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from mlops.core.decision import Outcome
    from mlops.site import Site

PROJECT = "digits"


def add_version(site: Site, project: str = PROJECT, *, vouched: bool = True) -> str:
    """Put a sealed folder into the store, make it a version, and let the ledger vouch for it."""
    api = mlflow.client(site)
    if not api.search_registered_models(f"name = '{project}'"):
        api.create_registered_model(project)
    count = len(list(site.layout.mlartifacts.glob(f"{project}-*")))
    folder = site.layout.mlartifacts / f"{project}-{count}"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(f"{project} {count}".encode())
    digest = seal.write_manifest(folder)
    version = str(api.create_model_version(project, str(folder)).version)
    if vouched:
        known = Registration(digest, "c" * 64, "run", "manual", "", "", "")
        with database(site) as engine:
            row = Row("registered", f"k{version}", 1.0, "me", None, version, to_json(known))
            Ledger(engine, project).append(row)
    return version


def stored(site: Site, version: str, project: str = PROJECT) -> Path:
    """Return where a version's files lie in the store."""
    from pathlib import Path

    return Path(str(registry.source_of(site, project, version)))


def decision(
    site: Site, version: str, champion: str | None, *, outcome: Outcome = "promote",
    project: str = PROJECT, turn: int = 0, incident: str = "",
) -> tuple[Decision, str]:  # fmt: skip
    """Return a made-up decision and its key."""
    key = hashlib.sha256(f"{project}:{version}:{champion}:{outcome}:{turn}".encode()).hexdigest()
    metric = Metric("recent accuracy", 0.9, 0.88 if champion else None, 0.001, 0.04)
    evidence = Evidence(150, 3, 400, 0, difference=0.02, lower=0.001, upper=0.04)
    reasons = ("accuracy on 150 recent rows: +2.0 pp, at least +0.1 pp",)
    made = Decision(
        id=key[:12], project=project, at_s=site.now.timestamp(), actor="test", reason="drift",
        incident=incident, candidate=Version(version, "d" * 64, "run"),
        champion=Version(champion, "e" * 64, "run") if champion else None, data_digest="a" * 64,
        params_digest="b" * 64, commit="c" * 40,
        verdict=Verdict(outcome, reasons, (), (metric,), evidence, 0),
    )  # fmt: skip
    return made, key


def decide(
    site: Site, version: str, champion: str | None, *, approval: Literal["auto", "required"],
    outcome: Outcome = "promote", project: str = PROJECT, turn: int = 0, incident: str = "",
) -> Decision:  # fmt: skip
    """Record a made-up decision as `promote` does."""
    made, key = decision(
        site, version, champion, outcome=outcome, project=project, turn=turn, incident=incident
    )
    with database(site) as engine:
        judged = Judged(made, key, approval, None, lambda kept: kept)
        return record(site, Ledger(engine, project), judged)[0]


def entries(site: Site, project: str = PROJECT) -> tuple[Entry, ...]:
    """Return the ledger's rows, its chain verified."""
    with database(site) as engine:
        ledger = Ledger(engine, project)
        ledger.verify_chain()
        return ledger.entries()


def kinds(site: Site, project: str = PROJECT) -> list[str]:
    """Return the kinds of the ledger's rows in order."""
    return [entry.kind for entry in entries(site, project)]
