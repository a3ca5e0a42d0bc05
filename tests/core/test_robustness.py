from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.core import corruption, robustness
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = ImageSchema(("dark", "bright"), 8, 8, 1)
HOW: dict[str, Any] = {"confidence": 0.95, "resamples": 200, "seed": 3}


def bright(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answer 1 where an image is brighter than the middle."""
    share = images_NHWC.mean(axis=(1, 2, 3)) / 255.0
    return np.column_stack([1.0 - share, share]).astype(np.float32)


def pictures(n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    label = np.arange(n) % 2
    level = np.where(label == 1, 160, 95)[:, None, None, None]
    noise = rng.integers(-20, 20, (n, 8, 8, 1))
    return (level + noise).astype(np.uint8), label


def test_the_suite_is_every_corruption_at_every_severity_on_the_same_rows() -> None:
    images, label = pictures(80)
    key = np.arange(80, dtype=np.uint64)
    found = robustness.endure(images, label, key, SCHEMA, bright, **HOW)
    assert found.n == 80
    assert {(c.corruption, c.severity) for c in found.cells} == {
        (name, severity) for name in corruption.NAMES for severity in range(6)
    }
    accuracy = {(c.corruption, c.severity): c.score for c in found.cells}
    assert all(accuracy[name, 0].value == 1.0 for name in corruption.NAMES)
    # Brighter pictures are all taken for bright ones, blurred ones are still told apart.
    assert accuracy["brightness", 5].value == 0.5
    assert accuracy["blur", 5].value == 1.0
    corrupted = [i.value for (_, severity), i in accuracy.items() if severity]
    assert found.mean.value == pytest.approx(np.mean(corrupted))
    assert found.mean.low < found.mean.value < found.mean.high
    for severity, one in enumerate(found.by_severity):
        mean = np.mean([accuracy[name, severity].value for name in corruption.NAMES])
        assert one.value == pytest.approx(mean)
    assert accuracy["brightness", 5].high - accuracy["brightness", 5].low < 0.25


def test_equal_seeds_give_equal_suites_and_others_other_ones() -> None:
    images, label = pictures(60)
    key = np.arange(60, dtype=np.uint64)
    seen: list[NDArray[np.uint8]] = []

    def record(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(images_NHWC)
        return bright(images_NHWC)

    for seed in (1, 1, 2):
        robustness.endure(images, label, key, SCHEMA, record, **{**HOW, "seed": seed})
    first, again, other = np.array_split(np.array(seen), 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rows_that_repeat_make_no_cell_surer() -> None:
    images, label = pictures(60)
    key = np.arange(60, dtype=np.uint64)
    once = robustness.endure(images, label, key, SCHEMA, bright, **HOW)
    thrice = robustness.endure(
        np.tile(images, (3, 1, 1, 1)), np.tile(label, 3), np.tile(key, 3), SCHEMA, bright, **HOW
    )
    for one, many in zip(once.cells, thrice.cells, strict=True):
        if (one.corruption, one.severity) == ("brightness", 5):
            width = one.score.high - one.score.low
            assert many.score.high - many.score.low == pytest.approx(width, rel=0.25)


@pytest.mark.parametrize(("rows", "most", "expected"), [(10, 3, 3), (3, 10, 3), (5, 5, 5)])
def test_rows_are_chosen_once_each_and_by_the_seed(rows: int, most: int, expected: int) -> None:
    found = robustness.choose(rows, most, 1)
    assert len(set(found.tolist())) == len(found) == expected
    assert np.array_equal(found, np.sort(found))
    assert np.array_equal(found, robustness.choose(rows, most, 1))
