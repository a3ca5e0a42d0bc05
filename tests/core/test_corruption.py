from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from mlops.core.corruption import NAMES, SEVERITIES, CorruptionName, corrupt, corrupt_mix

MIX: tuple[CorruptionName, ...] = ("blur", "noise", "contrast", "rotation")


def _blobs(size: int, channels: int = 1) -> np.ndarray:
    """Return images of a bright off-centre bar on dark ground."""
    images = np.full((40, size, size, channels), 20, dtype=np.uint8)
    images[:, size // 4 : size // 2, size // 8 : -size // 4] = 210
    return images


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [8, 28])
def test_a_higher_severity_changes_more(name: CorruptionName, size: int) -> None:
    images = _blobs(size)
    distances = []
    for severity in SEVERITIES:
        changed = corrupt(images, name, severity, np.random.default_rng(0)).astype(float)
        distances.append(float(np.abs(changed - images).mean()))
    assert distances[0] > 1.0
    assert distances == sorted(distances)
    assert distances[-1] > 1.2 * distances[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_seeds_give_equal_bytes_and_the_input_is_left_alone(
    name: CorruptionName, channels: int
) -> None:
    images = _blobs(9, channels)
    before = images.copy()
    one, two = (corrupt(images, name, 3, np.random.default_rng(5)) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.shape == images.shape
    assert np.array_equal(one, two)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_and_a_single_pixel_are_no_special_case(name: CorruptionName) -> None:
    rng = np.random.default_rng(0)
    assert corrupt(np.zeros((0, 8, 8, 1), np.uint8), name, 1, rng).shape == (0, 8, 8, 1)
    assert corrupt(np.zeros((2, 1, 1, 3), np.uint8), name, 5, rng).shape == (2, 1, 1, 3)


@pytest.mark.parametrize(
    ("name", "severity", "said"),
    [("melt", 1, "'melt' is unknown"), ("blur", 0, "severity 0"), ("blur", 6, "severity 6")],
)
def test_what_does_not_exist_is_named(name: CorruptionName, severity: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        corrupt(_blobs(8), name, severity, np.random.default_rng(0))


def test_the_mix_costs_a_good_model_fifteen_points() -> None:
    digits = load_digits()
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)[..., None]
    held_out = np.arange(len(images)) % 4 == 0
    model = LogisticRegression(C=0.5, max_iter=300)
    model.fit(images[~held_out].reshape(-1, 64) / 255, digits.target[~held_out])
    truth = digits.target[held_out]
    clean = model.score(images[held_out].reshape(-1, 64) / 255, truth)
    assert clean > 0.95
    for severity in (3, 4):
        shifted = corrupt_mix(images[held_out], MIX, severity, np.random.default_rng(7))
        assert clean - model.score(shifted.reshape(-1, 64) / 255, truth) > 0.15


def test_each_image_of_a_mix_has_one_corruption() -> None:
    images = _blobs(8)
    changed = corrupt_mix(images, ("contrast",), 5, np.random.default_rng(0))
    assert np.array_equal(changed, corrupt(images, "contrast", 5, np.random.default_rng(0)))
