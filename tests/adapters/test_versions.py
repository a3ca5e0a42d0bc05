"""With a real MLflow server up, quick verbs speak REST to it and leave MLflow's client alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import mlflow, registry, seal, versions
from mlops.core.canonical import to_json
from mlops.errors import RegistryError
from mlops.layout import Layout
from mlops.settings import Settings
from mlops.site import Site
from tests import promotions
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
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
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


def behind_the_server(site: Site, version: str) -> str:
    """Make a version of the same files that only MLflow's server can reach."""
    from mlops.adapters.ledger import Ledger, Row
    from mlops.adapters.sql.engine import database

    folder = promotions.stored(site, version)
    (folder / "deep").mkdir(exist_ok=True)
    (folder / "deep" / "seen 1.npy").write_bytes(b"numbers")
    digest = seal.write_manifest(folder)
    source = f"mlflow-artifacts:/{folder.relative_to(site.layout.mlartifacts).as_posix()}"
    made = str(mlflow.client(site).create_model_version(PROJECT, source).version)
    known = registry.Registration(digest, "c" * 64, "run", "manual", "", "", "")
    with database(site) as engine:
        row = Row("registered", f"k{made}", 1.0, "me", None, made, to_json(known))
        Ledger(engine, PROJECT).append(row)
    return made


def test_a_rollback_hashes_what_lies_behind_the_server_without_mlflows_client(
    served: Site,
) -> None:
    base = add_version(served)
    version = behind_the_server(served, base)
    before = str(registry.champion(served, PROJECT))
    decide(served, version, before, approval="auto")
    call(served, "rollback", "--to", before)
    said, heavy = call(served, "rollback", "--to", version)
    assert (f"to version {version}" in said, heavy) == (True, "[]")
    copy = registry.fetch(served, PROJECT, version)
    assert (copy / "deep" / "seen 1.npy").read_bytes() == b"numbers"
    call(served, "rollback", "--to", before)

    stored = promotions.stored(served, base)
    count = len(kinds(served))
    for damage in (
        lambda: (stored / "deep" / "seen 1.npy").write_bytes(b"numberz"),
        lambda: (stored / "loader.py").write_text("import os"),
        lambda: shutil.rmtree(stored),
    ):
        damage()
        with pytest.raises(AssertionError, match=r"mlflow-artifacts:/.* (refused|not verified)"):
            call(served, "rollback", "--to", version)
        assert registry.champion(served, PROJECT) == before
    assert len(kinds(served)) == count
    assert seal.is_verified(copy, registry.registration(served, PROJECT, version).digest)


def test_what_rest_writes_the_client_reads(served: Site) -> None:
    api = mlflow.client(served)
    versions.describe(served, PROJECT, "1", "▲ text", (("mlops.a", "1"), ("mlops.b", "2")))
    held = api.get_model_version(PROJECT, "1")
    assert held.description == "▲ text"
    seen = versions.look(served, PROJECT, "1")
    assert seen == versions.Seen(held.source, dict(held.tags))
    assert {"mlops.a": "1", "mlops.b": "2"}.items() <= seen.tags.items()
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
