"""The files of an MLflow run: what lies there, put one there, get one."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters import files, mlflow

if TYPE_CHECKING:
    from mlops.errors import RegistryError
    from mlops.site import Site


INPUTS = ("dvc.lock", "params.yaml", "uncommitted.diff")
"""Files of a run from which its candidate can be trained again."""


@dataclass(frozen=True)
class Hashed:
    """A file of a run.

    Attributes:
        name: below the run.
        sha256: of its bytes.
    """

    name: str
    sha256: str


def hash_inputs(site: Site, run_id: str) -> tuple[Hashed, ...]:
    """Hash what a run holds of `INPUTS`; what it does not hold is left out.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it knows no such run.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-run.") as scratch:
        got = {name: get(site, run_id, name, Path(scratch)) for name in INPUTS}
        return tuple(Hashed(name, files.sha256(path)) for name, path in got.items() if path)


def find(site: Site, run_id: str, folder: str = "") -> dict[str, int]:
    """Return path → bytes of every file of a run directly in a folder; empty for the top.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it knows no such run.
    """
    api = mlflow.client(site)
    with mlflow.errors():
        found = api.list_artifacts(run_id, folder or None)
        return {str(f.path): int(f.file_size or 0) for f in found if not f.is_dir}


def put(site: Site, run_id: str, path: Path, folder: str) -> None:
    """Copy a local file into a folder of a run.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it refuses.
    """
    api = mlflow.client(site)
    with mlflow.errors():
        api.log_artifact(run_id, str(path), folder)


def get(site: Site, run_id: str, path: str, target: Path) -> Path | None:
    """Copy a file of a run, by its bare name, into `target`; nothing if the run has no such file.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it knows no such run.
    """
    if path not in find(site, run_id, path.rpartition("/")[0]):
        return None
    api = mlflow.client(site)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    target.mkdir(parents=True, exist_ok=True)
    with mlflow.errors():
        copied = Path(api.download_artifacts(run_id, path, str(target)))
    # Some stores keep the run's folders, some do not.
    return copied.replace(target / copied.name)


def is_gone(error: RegistryError) -> bool:
    """Say whether MLflow refused because it has no such run: a person has deleted it."""
    return "not found" in str(error)
