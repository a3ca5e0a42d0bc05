"""The model registry: which version is in service, and a verified copy of its files.

The alias is a projection of the ledger: whoever moves one writes the ledger's row first (see
`mlops.adapters.reconcile`). A version is believed only if every file matches its manifest and the
manifest's digest stands in the ledger.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters import files, mlflow, store, versions
from mlops.adapters.ledger import Ledger
from mlops.adapters.run_files import Hashed  # noqa: TC001 - records are read by their types
from mlops.adapters.runtimes import model_file
from mlops.adapters.seal import MLFLOW_NOTE, is_verified, verify
from mlops.adapters.sql.engine import database
from mlops.core.canonical import ADDED, from_json
from mlops.errors import DataError, RegistryError, UnverifiedModel

if TYPE_CHECKING:
    from mlops.site import Site

_ALIAS = "registered-models/alias"
_WAIT_S = 2.0 * store.BOUND_S  # whoever holds a version's lock may copy for as long as that


@dataclass(frozen=True)
class Registration:
    """Body of the ledger's `registered` row.

    Attributes:
        digest: sha256 over the version's manifest.
        candidate: digest of `models/candidate` that it was made from.
        run_id: MLflow run.
        reason: why it was trained.
        incident: the incident behind it; empty for none.
        commit: git commit; empty where unknown.
        data: DVC md5 of the snapshot; empty where unknown.
        inputs: what its run holds to train it again; empty in records of before these were kept.
        start: with which weights its training began and why; empty where there was no choice.
    """

    digest: str
    candidate: str
    run_id: str
    reason: str
    incident: str
    commit: str
    data: str
    inputs: tuple[Hashed, ...] = field(default=(), metadata=ADDED)
    start: str = field(default="", metadata=ADDED)


def champion(site: Site, project: str) -> str | None:
    """Return the version in service; cheap enough to ask every two seconds.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it answers with something else.
    """
    return alias(site, project, "champion")


def alias(site: Site, project: str, name: str) -> str | None:
    """Return the version that an alias points at, or nothing.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it answers with something else.
    """
    if mlflow.server(site):
        reply = mlflow.call(site, "GET", _ALIAS, {"name": project, "alias": name})
        return None if reply is None else str(reply["model_version"]["version"])
    if _no_store_yet(site):
        return None
    api = mlflow.client(site)
    with mlflow.errors():
        try:
            return str(api.get_model_version_by_alias(project, name).version)
        except Exception as error:
            if mlflow.is_absent(error):
                return None
            raise


def set_alias(site: Site, project: str, name: str, version: str) -> None:
    """Point an alias at a version; the ledger's row comes before.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if there is no such version.
    """
    if mlflow.server(site):
        body = {"name": project, "alias": name, "version": version}
        if mlflow.call(site, "POST", _ALIAS, body) is None:
            msg = f"{project} has no version {version} in MLflow; look with: mlops history"
            raise RegistryError(msg)
        return
    api = mlflow.client(site)
    with mlflow.errors():
        api.set_registered_model_alias(project, name, version)


def registration(site: Site, project: str, version: str) -> Registration:
    """Return what the ledger vouches for of a version.

    Raises:
        UnverifiedModel: if the ledger does not know it.
    """
    with database(site) as engine:
        row = Ledger(engine, project).registered(version)
    if row is None:
        msg = (
            f"{project} version {version} is not in the ledger: it was not registered by "
            "`mlops register`; register it, or move the alias to a version of `mlops history`"
        )
        raise UnverifiedModel(msg)
    return from_json(Registration, row.body)


def candidate_digest(site: Site) -> str:
    """Return the identity of the candidate: the digest of `models/candidate`.

    Raises:
        DataError: if there is none.
    """
    model = model_file(site.layout.candidate)
    if not model.is_file():
        msg = f"{model}: no such file; run: mlops train"
        raise DataError(msg)
    return files.digest_path(site.layout.candidate)


def registered_as(site: Site, project: str, candidate: str) -> tuple[str, Registration] | None:
    """Return the newest version made from a candidate, by the ledger; nothing if there is none."""
    with database(site) as engine:
        entries = Ledger(engine, project).entries()
    for entry in reversed(entries):
        if entry.kind == "registered" and entry.to_version is not None:
            registration = from_json(Registration, entry.body)
            if registration.candidate == candidate:
                return entry.to_version, registration
    return None


def fetch(site: Site, project: str, version: str, *, fresh: bool = False) -> Path:
    """Return a verified local folder of a version: `.mlops/serving/NAME/VERSION/`.

    Args:
        site: where to fetch from, and to.
        project: registered-model name.
        version: its number.
        fresh: hash what the store holds even if a verified copy lies here; whoever moves an
            alias does, for the store is what the alias points at.

    Raises:
        UnverifiedModel: if a file does not match the manifest, or the manifest the ledger, or
            the version's source is not one of ours.
        RegistryError: if the registry has no such version.
        Unavailable: if it does not answer.
    """
    _refuse_odd_version(project, version)
    digest = registration(site, project, version).digest
    target = site.layout.serving / project / version
    if not fresh and _is_held(target, digest):
        return target
    source = source_of(site, project, version)
    if source is None:
        msg = f"{project} has no version {version} in MLflow; look with: mlops history"
        raise RegistryError(msg)
    lock = site.layout.locks / f"fetch.{project}.{version}.lock"
    with files.guarding(lock, wait_s=_WAIT_S):
        if _is_held(target, digest):  # perhaps another process has just fetched it
            if fresh:
                store.prove(site, source, digest)
            return target
        files.remove(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{version}.", dir=target.parent) as scratch:
            folder = store.copy(site, source, Path(scratch))
            verify(folder, digest)
            (folder / MLFLOW_NOTE).unlink(missing_ok=True)
            files.swap_folder(folder, target)
    return target


def _is_held(target: Path, digest: str) -> bool:
    return target.is_dir() and is_verified(target, digest)


def source_of(site: Site, project: str, version: str) -> str | None:
    """Return where a version's files lie, or nothing if the registry has no such version.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    seen = versions.look(site, project, version)
    return None if seen is None else seen.source


def _refuse_odd_version(project: str, version: str) -> None:
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        msg = f"{project}: {version[:40]!r} is no version number; look with: mlops history"
        raise RegistryError(msg)


def _no_store_yet(site: Site) -> bool:
    """Say whether MLflow's SQLite file is still to be made: then there is no alias to ask for."""
    uri = site.settings.tracking(site.layout)
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()
