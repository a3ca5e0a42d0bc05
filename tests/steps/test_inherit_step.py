from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import dvc, files, inherited
from mlops.params.load import load
from mlops.steps.inherit import InheritParams, inherit
from tests.kept import copy_state

if TYPE_CHECKING:
    from mlops.site import Report, Site

TAKEN = {"weights.safetensors", "model.json", "seen.npy", "origin.json", ".gitkeep"}


@pytest.fixture
def served(kept_first: Site, site: Site) -> Site:
    """Return a site whose version 1 is in service."""
    return copy_state(kept_first, site)


def _run(site: Site, start: str) -> Report:
    text = site.layout.params.read_text()
    changed = re.sub(r"(?m)^  start: \w+", f"  start: {start}", text)
    site.layout.params.write_text(changed)
    return inherit(load(site.layout.params, InheritParams), site)


def _names(site: Site) -> set[str]:
    return {path.name for path in site.layout.inherited.iterdir()}


def test_the_champions_verified_weights_are_brought_and_taken_away_again(served: Site) -> None:
    assert _run(served, "scratch").facts == {"inherited": ""}
    assert _names(served) == {".gitkeep"}
    report = _run(served, "warm")
    assert report.facts == {"inherited": "1"}
    assert _names(served) == TAKEN
    for name in ("weights.safetensors", "model.json", "seen.npy"):
        held = files.sha256(served.layout.inherited / name)
        assert held == files.sha256(served.layout.candidate / name)
    assert (
        _run(served, "scratch").summary == "inherited nothing: params.yaml: train.start = scratch"
    )
    assert _names(served) == {".gitkeep"}


def test_nothing_is_inherited_before_a_version_is_in_service(mlflow_site: Site) -> None:
    inherited.put(mlflow_site.layout.inherited, None, "")
    assert "no version is in service yet" in _run(mlflow_site, "auto").summary


def test_a_promotion_alone_is_nothing_new_to_learn(kept_both: Site, site: Site) -> None:
    """What `train` depends on changes only when `train` would run anyway; on a real DVC."""
    from dvc.repo import Repo

    copy_state(kept_both, site)
    layout = site.layout
    inherited.put(layout.inherited, layout.candidate, "1")
    (layout.root / "dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: mlops train\n    params: [model]\n"
        "    deps: [models/inherited]\n    outs: [models/candidate]\n"
    )
    Repo.init(str(layout.root), no_scm=True).close()
    dvc.commit(layout.root, "train")
    before = files.digest_path(layout.inherited)
    assert _run(site, "warm").summary == (
        "inherited the weights of version 1 as before: train has nothing new to learn"
    )
    assert files.digest_path(layout.inherited) == before
    assert not dvc.is_stale(layout.root, "train")
    text = layout.params.read_text()
    layout.params.write_text(text.replace("batch_size: 64", "batch_size: 32"))
    assert _run(site, "warm").facts == {"inherited": "2"}
    assert files.digest_path(layout.inherited) != before
