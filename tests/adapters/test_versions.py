"""With a real MLflow server up, quick verbs speak REST to it and leave MLflow's client alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import mlflow, registry, versions
from mlops.errors import RegistryError
from mlops.layout import Layout
from mlops.settings import Settings
from mlops.site import Site
from tests.conftest import NOW, REPOSITORY
from tests.mlflow_server import mlflow_server
from tests.promotions import PROJECT, add_version, decide, kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEAVY = ("mlflow", "alembic", "numpy", "scipy", "pandas", "torch")
_CALL = f"""
import sys
from mlops.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print([name for name in {_HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> Iterator[Site]:
    """Return a site with two versions, the second in service, whose MLflow server is up."""
    root = tmp_path_factory.mktemp("served")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, root)
    layout = Layout(root)
    layout.work.mkdir(parents=True)
    shutil.copy(mlflow_template, layout.mlflow_db)
    site = Site(layout, Settings(), NOW, layout.work)
    for champion in (None, "1"):
        decide(site, add_version(site), champion, approval="auto")
    with mlflow_server(layout) as address:
        assert mlflow.server(site) == address
        yield site
    assert mlflow.server(site) == ""  # gone: the database is asked again
    assert registry.champion(site, PROJECT) is not None


def call(site: Site, *words: str) -> tuple[str, str]:
    environment = {**os.environ, "MLOPS_ROOT": str(site.layout.root)}
    done = subprocess.run(
        [sys.executable, "-c", _CALL, *words],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout, done.stderr.splitlines()[-1]


def test_a_rollback_needs_no_heavy_library_and_can_be_undone(served: Site) -> None:
    before = registry.champion(served, PROJECT)
    said, heavy = call(served, "rollback", "--reason", "it is slow", "--actor", "Ada")
    assert "to undo: mlops rollback --to" in said
    assert heavy == "[]"
    assert registry.champion(served, PROJECT) != before
    assert registry.alias(served, PROJECT, "previous") == before
    said, heavy = call(served, "history", "--json")
    newest = json.loads(said)[0]
    assert (newest["kind"], newest["actor"], newest["why"]) == ("rollback", "Ada", "it is slow")
    call(served, "rollback", "--to", str(before))
    assert registry.champion(served, PROJECT) == before
    assert kinds(served)[-2:] == ["rollback", "applied"]


def test_what_rest_writes_the_client_reads(served: Site) -> None:
    api = mlflow.client(served)
    versions.describe(served, PROJECT, "1", "▲ text", (("mlops.a", "1"), ("mlops.b", "2")))
    held = api.get_model_version(PROJECT, "1")
    assert held.description == "▲ text"
    seen = versions.look(served, PROJECT, "1")
    assert seen == versions.Seen(held.source, dict(held.tags))
    assert seen.tags == {"mlops.a": "1", "mlops.b": "2"}
    assert versions.look(served, PROJECT, "99") is None
    registry.set_alias(served, PROJECT, "challenger", "1")
    versions.drop_alias(served, PROJECT, "challenger")
    versions.drop_alias(served, PROJECT, "challenger")
    assert registry.alias(served, PROJECT, "challenger") is None
    with pytest.raises(RegistryError, match="version 99 is not in MLflow"):
        versions.set_tag(served, PROJECT, "99", "mlops.a", "1")


def test_an_approval_by_hand_moves_the_alias_and_is_shown(served: Site) -> None:
    champion = registry.champion(served, PROJECT)
    version = add_version(served)
    decide(served, version, champion, approval="required")
    assert registry.alias(served, PROJECT, "challenger") == version
    said, _ = call(served, "approve", version, "--actor", "Ada")
    assert f"version {version} is the champion, approved by Ada" in said
    held = mlflow.client(served).get_model_version(PROJECT, version)
    assert "as a person approved" in held.description
    assert registry.champion(served, PROJECT) == version
    assert registry.alias(served, PROJECT, "challenger") is None
    call(served, "rollback", "--to", str(champion))
