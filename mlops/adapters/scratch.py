"""A scratch copy of a project with the version in service: what happens there stays there.

Its own database, mailbox and folders; the ledger's rows and the champion's verified files are
copied in. Nothing of the user's is written to: database and registry are only read.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mlops.adapters import files, mlflow, pace, precedents, registry, snapshot
from mlops.adapters.ledger import MOVES, Ledger
from mlops.adapters.ports import LOOPBACK, read_ports
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import ledger as ledger_rows
from mlops.core.schema import parse_schema
from mlops.errors import RegistryError
from mlops.layout import Layout

if TYPE_CHECKING:
    from mlops.adapters.ledger import Entry
    from mlops.core.schema import Schema
    from mlops.settings import Settings
    from mlops.site import Site

_NOTHING = SecretStr("")
_COPIED = ("dvc.yaml", "docs/incidents.md")


@dataclass(frozen=True)
class Scratch:
    """A scratch copy.

    Attributes:
        site: its own layout and settings; `now` is when it was made.
        project: registered-model name.
        version: in service.
        folder: that version's verified files, inside the copy.
        digest: of their manifest.
        schema: of its examples.
        pace_minutes: how long a window of the user's traffic takes; None if that is not known.
        lender: the same, reading the user's MLflow.
    """

    site: Site
    project: str
    version: str
    folder: Path
    digest: str
    schema: Schema
    pace_minutes: float | None
    lender: Site


def make(site: Site, project: str, root: Path) -> Scratch:
    """Copy ledger and champion into a fresh project below `root`, which holds `params.yaml`.

    Raises:
        RegistryError: if no version is in service, or its files cannot be had.
        Unavailable: if the database or MLflow does not answer.
    """
    entries, found = _read(site, project)
    version = next((e.to_version for e in reversed(entries) if e.kind in MOVES), None)
    if version is None:
        msg = f"no version of {project} is in service, so there is nothing to drill; run first: "
        raise RegistryError(f"{msg}dvc repro, mlops register, mlops promote")
    layout = Layout(root)
    for name in _COPIED:
        source = site.layout.root / name
        if source.is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, root / name)
    copy = replace(
        site, layout=layout, settings=_apart(site), work=layout.work / "simulate",
        options=frozenset(),
    )  # fmt: skip
    if site.layout.production.is_dir():  # a retrain reads what was collected so far
        shutil.copytree(site.layout.production, layout.production)
    with database(copy) as engine, engine.begin() as connection:
        connection.execute(ledger_rows.insert(), [asdict(entry) for entry in entries])
    lender = _lender(site, copy)
    folder = _fetch(site, lender, project, version)
    described = folder / "model.json"  # `collect` writes rows of the snapshot's schema
    schema = parse_schema(files.read_json(described).get("schema"), str(described))
    snapshot.write_schema(layout.snapshot, schema)
    digest = registry.registration(copy, project, version).digest
    return Scratch(copy, project, version, folder, digest, schema, found, lender)


def lend_registry(scratch: Scratch) -> None:
    """Give the copy an MLflow of its own in which the champion stands, and the gate's anchor.

    Raises:
        RegistryError: if a version's files cannot be had.
        Unavailable: if the user's MLflow does not answer.
    """
    site, project = scratch.site, scratch.project
    with database(site) as engine:
        entries = Ledger(engine, project).entries()
    needed = {scratch.version, precedents.anchor_of(entries, "") or scratch.version}
    store = site.layout.mlartifacts / "lent"
    for version in needed:
        shutil.copytree(registry.fetch(scratch.lender, project, version), store / version)
    count = max(int(e.to_version or 0) for e in entries if e.kind == "registered")
    api = mlflow.client(site)
    with mlflow.errors():
        api.create_registered_model(project)
        for number in range(1, count + 1):
            # Versions count from 1 without gaps: one that nobody needs has no files here.
            api.create_model_version(project, str(store / str(number)))
        api.set_registered_model_alias(project, "champion", scratch.version)


def _read(site: Site, project: str) -> tuple[tuple[Entry, ...], float | None]:
    """Return the ledger's rows, and how many minutes a window takes."""
    place = site.settings.database(site.layout).removeprefix("sqlite:///")
    if "://" not in place and not Path(place).is_file():
        return (), None  # opening it would make one
    with database(site) as engine:
        entries = Ledger(engine, project).entries()
        with engine.connect() as connection:
            return entries, pace.minutes(connection, project)


def _apart(site: Site) -> Settings:
    """Return the user's settings without what they name outside the copy; links stay theirs."""
    port = read_ports(site.layout, site.settings).mlflow
    told = {
        "database_url": _NOTHING, "mlflow_uri": _NOTHING, "mlflow_artifacts": "",
        "mail_url": _NOTHING, "chat_urls": _NOTHING, "pager_urls": _NOTHING, "pages_url": "",
        "mlflow_ui_url": site.settings.mlflow_ui_url or f"http://{LOOPBACK}:{port}",
    }  # fmt: skip
    return site.settings.model_copy(update=told)


def _lender(site: Site, copy: Site) -> Site:
    """Return the copy's site with the user's MLflow, of which it only reads."""
    told = {
        "mlflow_uri": SecretStr(site.settings.tracking(site.layout)),
        "mlflow_artifacts": site.settings.mlflow_artifacts or str(site.layout.mlartifacts),
    }
    return replace(copy, settings=copy.settings.model_copy(update=told))


def _fetch(site: Site, lender: Site, project: str, version: str) -> Path:
    """Return the version's verified files inside the copy; from MLflow if none lie here."""
    here, there = (s.layout.serving / project / version for s in (site, lender))
    if here.is_dir():
        shutil.copytree(here, there)
    return registry.fetch(lender, project, version)
