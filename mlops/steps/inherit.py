"""Step `inherit`: the champion's weights → `models/inherited/`, for a training that is warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters import dvc, inherited, registry
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.params.train import TrainSection
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Site


class InheritParams(View):
    """The sections that `inherit` may see."""

    project: ProjectSection
    train: TrainSection


def inherit(params: InheritParams, site: Site) -> Report:
    """Bring the champion's weights to where `train` looks for them; empty the place otherwise.

    `models/inherited` is a dependency of `train`. So it is left alone while DVC calls that stage
    unchanged: a promotion alone is nothing new to learn.

    Raises:
        UnverifiedModel: if the champion's files are not what the ledger vouches for.
        Unavailable: if MLflow does not answer.
        Busy: if another DVC command holds the repository.
    """
    folder = site.layout.inherited
    held = inherited.version_of(folder)
    if params.train.start == "scratch":
        if held or not folder.is_dir():
            inherited.put(folder, None, "")
        return _report("nothing: params.yaml: train.start = scratch", "")
    if (site.layout.root / "dvc.lock").is_file() and not dvc.is_stale(site.layout.root, "train"):
        return _report(f"{_of(held)} as before: train has nothing new to learn", held)
    version = registry.champion(site, params.project.name)
    if version is None:
        if held:
            inherited.put(folder, None, "")
        return _report("nothing: no version is in service yet", "")
    if version != held:
        inherited.put(folder, registry.fetch(site, params.project.name, version), version)
    return _report(_of(version), version)


def _of(version: str) -> str:
    return f"the weights of version {version}" if version else "nothing"


def _report(words: str, version: str) -> Report:
    return Report(f"inherited {words}", facts={"inherited": version})
