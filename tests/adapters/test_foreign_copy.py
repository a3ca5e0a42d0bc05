"""Where a model from elsewhere may come from, and that its bytes are pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters import files, mlflow
from mlops.adapters.foreign_copy import fetch, keep
from mlops.adapters.foreign_vet import MLMODEL
from mlops.errors import RegistryError, UnverifiedModel, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.site import Site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder; whether it holds a good model is not looked at here."""
    found = tmp_path / "my model"
    found.mkdir()
    (found / MLMODEL).write_text("flavors: {}")
    (found / "registered_model_meta").write_text("MLflow's note")
    return found


def test_a_folder_is_copied_sealed_and_pinned_once_it_works(folder: Path, site: Site) -> None:
    copy = fetch(site, str(folder))
    assert copy.name == "my model"
    assert copy.fresh
    assert copy.version == copy.digest[:12]
    assert sorted(p.name for p in copy.folder.iterdir()) == [MLMODEL, "manifest.json"]
    (folder / "more").write_text("another try, for the first was refused")
    second = fetch(site, folder.as_uri())
    keep(site, second)
    assert not fetch(site, str(folder)).fresh
    assert files.read_json(site.layout.foreign / "pins.json") == {str(folder): second.digest}


def test_what_changed_since_it_was_first_served_is_refused_until_the_setting_names_it(
    folder: Path, site: Site
) -> None:
    first = fetch(site, str(folder))
    keep(site, first)
    (folder / MLMODEL).write_text("flavors: {python_function: {}}")
    with pytest.raises(UnverifiedModel, match=r"changed since.*set MLOPS_SERVE_DIGEST=") as refused:
        fetch(site, str(folder))
    digest = str(refused.value).rpartition("=")[2]
    second = fetch(site, str(folder), digest)
    assert second.digest == digest != first.digest
    assert not second.fresh
    keep(site, second)
    assert fetch(site, str(folder)).digest == digest
    with pytest.raises(UnverifiedModel, match=r"its digest is .*MLOPS_SERVE_DIGEST=abc"):
        fetch(site, str(folder), "abc")


def test_a_damaged_copy_is_replaced(folder: Path, site: Site) -> None:
    copy = fetch(site, str(folder))
    (copy.folder / MLMODEL).write_text("damaged")
    assert (fetch(site, str(folder)).folder / MLMODEL).read_text() == "flavors: {}"


@pytest.mark.parametrize("uri", ["nowhere", "https://example.com/model", "runs:/abc/model", ""])
def test_what_is_neither_version_nor_folder_is_a_usage_error(site: Site, uri: str) -> None:
    with pytest.raises(UsageError, match="neither models:/NAME/VERSION nor a folder"):
        fetch(site, uri)


def test_a_version_of_the_registry_by_number_and_by_alias(
    site: Site, mlflow_template: Path, tmp_path: Path
) -> None:
    site.layout.mlflow_db.write_bytes(mlflow_template.read_bytes())
    api = mlflow.client(site)
    experiment = mlflow.experiment(site, "theirs")
    model = api.create_logged_model(experiment, "theirs")
    (tmp_path / MLMODEL).write_text("flavors: {}")
    api.log_model_artifact(model.model_id, str(tmp_path / MLMODEL))
    api.finalize_logged_model(model.model_id, "READY")
    api.create_registered_model("theirs")
    api.create_model_version("theirs", f"models:/{model.model_id}", model_id=model.model_id)
    api.set_registered_model_alias("theirs", "best", "1")
    copy = fetch(site, "models:/theirs/1")
    assert (copy.name, copy.version) == ("theirs", "1")
    assert fetch(site, "models:/theirs@best").uri == "models:/theirs/1"
    for uri in ("models:/theirs/7", "models:/theirs@worst"):
        with pytest.raises(RegistryError, match="MLflow knows no such"):
            fetch(site, uri)
    api.create_model_version("theirs", str(tmp_path))
    with pytest.raises(UnverifiedModel, match="not in a store of this project"):
        fetch(site, "models:/theirs/2")
