from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from mlops.adapters import canvas, model_files, sheets
from mlops.adapters.explanations import explain
from mlops.core import networks
from mlops.core.schema import ImageSchema
from mlops.core.showcase import NOBODY
from mlops.errors import DataError
from tests.pictures import image_model

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.core.preprocessing import Preprocessed

SCHEMA = ImageSchema(("a", "b", "c"), 8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


def write(folder: Path, path: str) -> Preprocessed:
    """Write a candidate without its model file, and return its network."""
    torch.manual_seed(0)
    network = networks.build(path, SCHEMA, width_factor=0.5, dropout=0.1)
    model = image_model(network, [0.3], [0.4]).eval()
    folder.mkdir()
    model_files.write_weights(folder / model_files.WEIGHTS, model)
    card = {
        "schema": {"classes": list(SCHEMA.classes), "height": 8, "width": 8, "channels": 1},
        "network": path, "mean": [0.3], "std": [0.4],
        "hyperparameters": {"width_factor": 0.5, "dropout": 0.1},
    }  # fmt: skip
    model_files.write_card(folder / model_files.CARD, card)
    return model


def probabilities(model: Preprocessed) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model(torch.from_numpy(IMAGES)).numpy())


def test_a_linear_networks_attributions_are_its_weights(tmp_path: Path) -> None:
    model = write(tmp_path / "candidate", "tests.linear.Linear")
    p = probabilities(model)
    answers = p.argmax(axis=1)
    found = explain(tmp_path / "candidate", IMAGES, answers, p)
    weight = model.state_dict()["network.head.weight"].numpy()[answers].reshape(5, 8, 8)
    slope = weight / (0.4 * 255.0)
    assert np.allclose(found.saliency, np.abs(slope), atol=1e-7)
    assert np.allclose(found.integrated, slope * IMAGES[..., 0], atol=1e-5)
    # A patch of 2 × 2 that moves by 1: the corner is covered once, by the patch there.
    fall = (slope * (IMAGES[..., 0] - 0.3 * 255.0))[:, :2, :2].sum(axis=(1, 2))
    assert np.allclose(found.occlusion[:, 0, 0], fall, atol=1e-4)


def test_integrated_gradients_add_up_to_the_logits_rise(tmp_path: Path) -> None:
    model = write(tmp_path / "candidate", "mlops.core.networks.SmallCNN")
    p = probabilities(model)
    answers = p.argmax(axis=1)
    found = explain(tmp_path / "candidate", IMAGES, answers, p)
    black = torch.zeros((1, 8, 8, 1), dtype=torch.uint8)
    with torch.no_grad():
        rise = model.logits(torch.from_numpy(IMAGES)) - model.logits(black)
    expected = rise.numpy()[np.arange(5), answers]
    assert np.allclose(found.integrated.sum(axis=(1, 2)), expected, atol=0.03)
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("other", r"weights.safetensors: its network, by model.json, differs from the model file"),
        ("cut", r"weights.safetensors: unreadable .*run: mlops train"),
        ("gone", r"weights.safetensors: unreadable .*run: mlops train"),
        ("card", r"model.json: 'network' is missing; run: mlops train"),
        ("shape", r"weights.safetensors: unreadable .*run: mlops train"),
    ],
)
def test_another_network_than_the_model_files_is_never_explained(
    damage: str, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "candidate"
    p = probabilities(write(folder, "mlops.core.networks.SmallCNN"))
    weights, card = folder / model_files.WEIGHTS, json.loads((folder / "model.json").read_text())
    if damage == "other":
        p = p[:, ::-1]
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "gone":
        weights.unlink()
    elif damage == "card":
        del card["network"]
    elif damage == "shape":
        card["hyperparameters"]["width_factor"] = 1.0
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match=message):
        explain(folder, IMAGES, p.argmax(axis=1), p)


@pytest.mark.parametrize("pairs", [((0, 1), (2, NOBODY)), ((NOBODY, 1),)])
def test_the_sheet_fits_a_page_whoever_is_missing(
    pairs: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    from PIL import Image

    p = probabilities(write(tmp_path / "candidate", "mlops.core.networks.SmallCNN"))
    answers = p.argmax(axis=1)
    found = explain(tmp_path / "candidate", IMAGES, answers, p)
    shown = sheets.Explained(np.arange(5), IMAGES, answers, p, found)
    sheets.explanations(tmp_path / "sheet.png", pairs, shown, SCHEMA.classes)
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width == canvas.WIDEST
        assert np.asarray(picture.convert("L")).std() > 10
