from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mlops.core.columns import Columns, looks
from mlops.core.corruption import CorruptionName, corrupt
from mlops.core.likeness import Library, learn_library
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = ImageSchema(tuple("0123456789"), 8, 8, 1)
WINDOW = 120


@cache
def digits() -> NDArray[np.uint8]:
    images = np.minimum(load_digits().images * 16, 255)
    return np.asarray(images[..., np.newaxis], dtype=np.uint8)


@cache
def library() -> Library:
    return learn_library(digits()[:200], SCHEMA)


def window(images: NDArray[np.uint8]) -> Columns:
    names, values = looks(images, SCHEMA)
    more = np.zeros((len(values), 1))  # other columns stand between
    both = np.concatenate([more, values], axis=1)
    return Columns(("confidence", *names), both, np.zeros(len(values), dtype=np.int64), 1)


@pytest.mark.parametrize(
    ("name", "severity", "share"),
    [
        ("blur", 3, 1.0), ("noise", 4, 1.0), ("contrast", 4, 1.0), ("rotation", 3, 1.0),
        ("brightness", 3, 1.0), ("fog", 3, 1.0), ("fog", 3, 0.4), ("brightness", 4, 0.4),
    ],
)  # fmt: skip
def test_a_corruption_is_known_again(name: CorruptionName, severity: int, share: float) -> None:
    images = digits()[300 : 300 + WINDOW].copy()
    hit = round(share * WINDOW)
    images[:hit] = corrupt(images[:hit], name, severity, np.random.default_rng(5))
    found = library().match(window(images))
    assert found is not None
    assert found.name == name
    assert abs(found.severity - severity) <= 1
    assert found.share == pytest.approx(share, abs=0.15)
    part = " % of the pictures" if share < 1 else f"severity {found.severity}"
    assert found.words.endswith(part)


def test_what_is_no_corruption_is_not_named() -> None:
    assert library().match(window(digits()[600 : 600 + WINDOW])) is None
    upside_down = digits()[600 : 600 + WINDOW, ::-1]
    assert library().match(window(255 - upside_down)) is None
