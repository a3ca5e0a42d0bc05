from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from mlops.adapters import onnx
from mlops.adapters.onnx_session import Session
from mlops.core import networks
from mlops.core.schema import ImageSchema
from mlops.errors import DataError, StepError
from tests.pictures import image_model

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.core.preprocessing import Preprocessed

SCHEMA = ImageSchema(tuple("0123456789"), 8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 1), dtype=np.uint8)


def network() -> Preprocessed:
    torch.manual_seed(0)
    return image_model(networks.SmallCNN(1, 8, 8, 10, 0.5, 0.2), [0.3], [0.4])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert onnx.export(network(), IMAGES, SCHEMA, path, 1e-4) < 1e-5
    return path


@pytest.mark.parametrize("rows", [0, 1, 2, 70])
@pytest.mark.parametrize("batch_rows", [1, 32, 256])
def test_the_file_answers_as_the_model_for_any_number_of_rows(
    rows: int, batch_rows: int, exported: Path
) -> None:
    found = Session(exported, batch_rows=batch_rows).probabilities(IMAGES[:rows])
    with torch.no_grad():
        expected = network().eval()(torch.from_numpy(IMAGES)).numpy()[:rows]
    assert found.dtype == np.float32
    assert found.shape == (rows, 10)
    assert np.allclose(found, expected, atol=1e-5)


def test_an_unfaithful_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"above train.parity = 1e-12"):
        onnx.export(network(), IMAGES, SCHEMA, tmp_path / "model.onnx", 1e-12)


class Unexportable(torch.nn.Module):
    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        if float(x_NCHW.sum()) > 0:  # depends on the data: no graph can say this
            return x_NCHW.flatten(1)
        return -x_NCHW.flatten(1)


def test_a_network_that_cannot_be_exported_is_named(tmp_path: Path) -> None:
    model = image_model(Unexportable(), [0.3], [0.4])
    with pytest.raises(StepError, match="Unexportable cannot be exported to ONNX"):
        onnx.export(model, IMAGES, SCHEMA, tmp_path / "model.onnx", 1e-4)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "images",
    [IMAGES.astype(np.float32), IMAGES[:, :7], IMAGES[0], np.repeat(IMAGES, 3, axis=3)],
)
def test_wrong_images_are_refused(images: np.ndarray, exported: Path) -> None:
    with pytest.raises(DataError, match=r"the model takes uint8 \(N, 8, 8, 1\)"):
        Session(exported).probabilities(images)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_damaged_file_is_refused(keep: int, exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(exported.read_bytes()[:keep])
    with pytest.raises(DataError, match="run: mlops train"):
        Session(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model.onnx: .*run: mlops train"):
        Session(tmp_path / "model.onnx")


def test_a_session_loads_neither_torch_nor_mlflow(exported: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mlops.adapters.onnx_session import Session; "
        f"Session(Path({str(exported)!r})); "
        "print(sorted({'torch', 'mlflow', 'onnx', 'lightning'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
