from __future__ import annotations

import numpy as np
import pytest
import torch

from mlops.core import networks
from mlops.core.schema import ImageSchema
from mlops.errors import ParamsError
from tests.pictures import image_model

NAMES = tuple(str(n) for n in range(10))
PATH = "mlops.core.networks.SmallCNN"


@pytest.mark.parametrize("width_factor", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    ("height", "width", "channels"),
    [(8, 8, 1), (28, 28, 1), (32, 32, 3), (4, 4, 1), (17, 31, 3), (1, 1, 1), (64, 48, 3)],
)
def test_small_cnn_takes_images_of_many_sizes(
    height: int, width: int, channels: int, width_factor: float
) -> None:
    schema = ImageSchema(NAMES, height, width, channels)
    network = networks.build(PATH, schema, width_factor=width_factor, dropout=0.1)
    model = image_model(network, [0.5] * channels, [0.2] * channels).eval()
    images = torch.randint(0, 256, (3, *schema.shape), dtype=torch.uint8)
    p = model(images)
    assert p.shape == (3, 10)
    assert p.dtype == torch.float32
    assert torch.allclose(p.sum(dim=1), torch.ones(3))


def test_preprocessing_is_pixels_over_255_normalised_with_channels_first() -> None:
    class Keep(torch.nn.Module):
        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            return x_NCHW.flatten(1)

    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    mean, std = [0.1, 0.5, 0.7], [0.2, 0.3, 0.4]
    model = image_model(Keep(), mean, std)
    expected = ((images / 255.0 - mean) / std).transpose(0, 3, 1, 2).reshape(2, -1)
    found = model.logits(torch.from_numpy(images)).numpy()
    assert np.allclose(found, expected, atol=1e-5)
    assert np.allclose(model(torch.from_numpy(images)).sum(1), 1.0)


def test_a_channel_without_spread_gives_no_nan() -> None:
    schema = ImageSchema(NAMES, 8, 8, 1)
    network = networks.build(PATH, schema, width_factor=0.5, dropout=0.0)
    model = image_model(network, [0.0], [0.0]).eval()
    assert torch.isfinite(model(torch.zeros(2, 8, 8, 1, dtype=torch.uint8))).all()


def test_the_seed_decides_the_weights() -> None:
    schema = ImageSchema(NAMES, 8, 8, 1)
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        network = networks.build(PATH, schema, width_factor=0.5, dropout=0.0)
        states.append(next(network.parameters()).detach())
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mlops.core.nowhere.Net", "cannot be imported"),
        ("mlops.core.networks.Missing", "Missing is not in mlops.core.networks"),
        ("mlops.core.networks.build", "build is no torch.nn.Module"),
        ("pathlib.Path", "Path is no torch.nn.Module"),
        ("torch.nn.Linear", "cannot be built for"),
    ],
)
def test_a_wrong_class_path_says_key_value_and_remedy(path: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        networks.build(path, ImageSchema(NAMES, 8, 8, 1), width_factor=1.0, dropout=0.0)
    assert f'params.yaml: model.network = "{path}"' in str(caught.value)
