"""What is loaded of a model from elsewhere, and what is refused before anything of it runs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pandas as pd
import pytest
import yaml

from mlops.adapters.foreign import ForeignModel
from mlops.adapters.foreign_vet import MLMODEL, vet
from mlops.errors import DataError, UnverifiedModel
from tests.foreign import ROWS, save_code, save_onnx, save_sklearn, save_version
from tests.serving.kinds import RECORDS, TABLE, TinyModel, columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def skops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sklearn(tmp_path_factory.mktemp("skops") / "model")


def _changed(folder: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    shutil.copytree(folder, target)
    content = yaml.safe_load((target / MLMODEL).read_text())
    change(content["flavors"])
    (target / MLMODEL).write_text(yaml.safe_dump(content))
    return target


def test_what_holds_data_alone_is_loaded_with_mlflows_switch_off(
    skops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    assert vet(skops, code=False) == "sklearn"
    model = ForeignModel(skops, code=False)
    assert list(model.predict(ROWS)) == ["no", "yes", "no", "yes"]
    assert vet(save_onnx(tmp_path / "onnx"), code=False) == "onnx"
    import os

    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_a_version_of_a_project_like_this_is_loaded_too(tmp_path: Path) -> None:
    known = TinyModel(TABLE)
    onnx.save(known.proto, tmp_path / "model.onnx")
    folder = save_version(tmp_path / "version", tmp_path / "model.onnx", TABLE)
    model = ForeignModel(folder, code=False)
    assert model.takes == ["age (double)", "city (string)", "size of shoe (double)"]
    frame = pd.DataFrame(RECORDS).astype({"age": float, "size of shoe": float})
    found = model.predict(frame)["probabilities"]
    np.testing.assert_allclose(found, known.expected(columns()), atol=1e-6)


_BOOSTED = {"data": "model.skops", "model_class": "xgboost.core.Booster", "model_format": "json"}


@pytest.mark.parametrize(("change", "told"), [
    (lambda f: f["sklearn"].update(serialization_format="pickle"), "is a pickle file"),
    (lambda f: f["sklearn"].pop("serialization_format"), "is a pickle file"),
    (lambda f: f["python_function"].update(code="code"), "brings Python files"),
    (lambda f: f["python_function"].update(loader_module="mlflow.statsmodels"), "mlflow.statsmode"),
    (lambda f: f["python_function"].update(loader_module="os"), "is loaded by os"),
    (lambda f: f["python_function"].update(data="../model.skops"), "not beside it"),
    (lambda f: f["python_function"].update(data="/etc/passwd"), "not beside it"),
    (lambda f: f["python_function"].update(model_path="deep/model.skops"), "not beside it"),
    (lambda f: f["python_function"].update(loader_module="mlflow.onnx", data=None), "not beside"),
    (lambda f: _boost(f, model_class="subprocess.Popen"), "a class that is not XGBoost's"),
    (lambda f: _boost(f, model_format="pkl"), "json or ubj"),
    (lambda f: _boost(f, data="../model.ubj"), "not beside it"),
])  # fmt: skip
def test_what_may_run_code_is_refused_unless_the_setting_allows_it(
    skops: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    folder = _changed(skops, tmp_path / "model", change)
    with pytest.raises(UnverifiedModel, match=f"{told}.*MLOPS_SERVE_CODE=true"):
        vet(folder, code=False)
    assert vet(folder, code=True)


def _boost(flavours: dict[str, Any], **changes: str) -> None:
    flavours["xgboost"] = {**_BOOSTED, **changes}
    flavours["python_function"].update(loader_module="mlflow.xgboost", data="model.skops")


def test_xgboost_in_its_own_form_passes(skops: Path, tmp_path: Path) -> None:
    assert vet(_changed(skops, tmp_path / "model", _boost), code=False) == "xgboost"


def test_a_skops_file_with_types_of_its_own_is_refused_whatever_it_says_of_them(
    tmp_path: Path,
) -> None:
    import skops.io

    folder = save_sklearn(tmp_path / "model")
    skops.io.dump({"model": pytest.approx(1)}, folder / "model.skops")
    content = yaml.safe_load((folder / MLMODEL).read_text())
    content["flavors"]["sklearn"]["skops_trusted_types"] = ["_pytest.python_api.ApproxScalar"]
    (folder / MLMODEL).write_text(yaml.safe_dump(content))
    with pytest.raises(UnverifiedModel, match=r"ApproxScalar.*MLOPS_SERVE_CODE"):
        vet(folder, code=False)


def test_a_python_file_runs_only_where_that_is_allowed(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    folder = save_code(tmp_path / "model", trace)
    with pytest.raises(UnverifiedModel, match=r"code_model, which may"):
        ForeignModel(folder, code=False)
    assert not trace.exists()
    model = ForeignModel(folder, code=True)
    assert trace.read_text() == "it ran"
    assert model.takes == ["x (double)"]


@pytest.mark.parametrize("content", ["", "[1]", "flavors: {onnx: {}}", "\tno: yaml", None])
def test_no_model_is_told_as_such(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / MLMODEL).write_text(content)
    with pytest.raises(DataError, match=r"MLmodel: no model that MLflow can serve"):
        vet(tmp_path, code=True)


def test_a_model_without_a_signature_or_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    unsigned = save_sklearn(tmp_path / "unsigned", signed=False)
    with pytest.raises(DataError, match="has no signature"):
        ForeignModel(unsigned, code=False)
    (unsigned / "model.skops").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"cannot be loaded here.*requirements.txt"):
        ForeignModel(unsigned, code=True)
