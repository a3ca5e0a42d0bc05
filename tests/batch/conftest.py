"""A project with two registered versions, the first of them champion, made once for all tests."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import registry
from mlops.layout import Layout
from mlops.params.load import load
from mlops.settings import Settings
from mlops.site import Site
from mlops.steps.register import RegisterParams, register
from tests import entrants
from tests.conftest import NOW, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> Site:
    root = tmp_path_factory.mktemp("score") / "project"
    (root / "data" / "production").mkdir(parents=True)
    shutil.copy(REPOSITORY / "params.yaml", root)
    layout = Layout(root)
    site = Site(layout, Settings(threads=2), NOW, layout.work / "test")
    site.work.mkdir(parents=True)
    shutil.copy(mlflow_template, layout.mlflow_db)
    entrants.set_params(site)
    given = entrants.world(site)
    entrants.prepare(site, given)
    for weights in (entrants.block_weights(), entrants.corner_weights()):
        entrants.train(site, given, weights)
        register(load(layout.params, RegisterParams), replace(site, work=layout.work / "register"))
    registry.set_alias(site, "digits", "champion", "1")
    return site
