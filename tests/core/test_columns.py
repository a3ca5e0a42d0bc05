from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.core import slices
from mlops.core.columns import Columns, blank, columns, looks
from mlops.core.features import arrays
from mlops.core.schema import Column, ImageSchema, TableSchema, TextSchema, categories
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

Images = NDArray[np.uint8]


def strokes(rows: int, channels: int = 1, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:12, 0:12]
    angle = rng.uniform(-0.2, 0.2, (rows, 1, 1))
    line = np.exp(-((x - 6 + angle * (y - 6)) ** 2) / 2.0)
    return np.repeat((line * 200).astype(np.uint8)[..., None], channels, axis=3)


def flat(rows: int, classes: int = 4) -> NDArray[np.float32]:
    return np.full((rows, classes), 1 / classes, dtype=np.float32)


def brighter(x: Images) -> Images:
    return np.asarray(np.clip(x.astype(int) + 60, 0, 255), dtype=np.uint8)


def noisy(x: Images) -> Images:
    noise = np.random.default_rng(1).normal(0, 30, x.shape)
    return np.clip(x.astype(int) + noise, 0, 255).astype(np.uint8)


def blurred(x: Images) -> Images:
    y = x.astype(float)
    for axis in (1, 2):
        y = (np.roll(y, 1, axis) + y + np.roll(y, -1, axis)) / 3
    return y.astype(np.uint8)


def turned(x: Images) -> Images:
    """Lean the upright strokes by 45 degrees."""
    return np.stack([np.roll(x[:, i], i - 6, axis=1) for i in range(12)], axis=1)


def schema_of(images: Images, classes: int = 2) -> ImageSchema:
    return ImageSchema(tuple(str(k) for k in range(classes)), *images.shape[1:])


def image_columns(images: Images, probabilities: NDArray[np.float32]) -> Columns:
    return columns(images, probabilities, schema_of(images, probabilities.shape[1]))


@pytest.mark.parametrize(
    ("change", "column", "sign"),
    [
        (brighter, "brightness", 1),
        (lambda x: (x * 0.5).astype(np.uint8), "contrast", -1),
        (blurred, "sharpness", -1),
        (noisy, "noise", 1),
        (lambda x: (x * 0.5).astype(np.uint8), "coverage", -1),
        (turned, "slant", -1),
    ],
)
def test_a_corruption_moves_its_column(
    change: Callable[[Images], Images], column: str, sign: int
) -> None:
    before, after = (image_columns(x, flat(200)) for x in (strokes(200), change(strokes(200))))
    at = before.names.index(column)
    spread = before.values[:, at].std() + 1e-3
    assert sign * (after.values[:, at].mean() - before.values[:, at].mean()) > 2 * spread


def test_noise_is_the_standard_deviation_of_the_noise() -> None:
    noise = np.random.default_rng(0).normal(128, 25.5, (50, 40, 40, 1)).astype(np.uint8)
    at = image_columns(noise, flat(50)).names.index("noise")
    assert image_columns(noise, flat(50)).values[:, at].mean() == pytest.approx(0.1, rel=0.05)


def test_the_prediction_is_described() -> None:
    probabilities = np.array([[1, 0, 0, 0], [0.25] * 4], dtype=np.float32)
    seen = image_columns(strokes(2), probabilities)
    table = dict(zip(seen.names, seen.values.T, strict=True))
    assert table["confidence"].tolist() == pytest.approx([1.0, 0.25])
    assert table["entropy"].tolist() == pytest.approx([0.0, np.log(4)])
    assert seen.predicted.tolist() == [0, 0]
    assert seen.all_names[-1] == "predicted"


@pytest.mark.parametrize("shape", [(3, 1, 1, 1), (3, 2, 5, 3), (3, 28, 28, 1), (0, 8, 8, 1)])
def test_any_shape_gives_finite_columns(shape: tuple[int, int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    seen = image_columns(images, flat(shape[0]))
    assert seen.values.shape == (shape[0], len(seen.names))
    assert np.isfinite(seen.values).all()
    assert ("saturation" in seen.names) == (shape[3] == 3)


def test_blank_images_are_found() -> None:
    images = np.zeros((3, 4, 4, 1), dtype=np.uint8)
    images[1] = 9
    images[2, 0, 0, 0] = 1
    assert blank(images).tolist() == [True, True, False]


@pytest.mark.parametrize("channels", [1, 3])
def test_what_images_look_like_does_not_depend_on_the_answers(channels: int) -> None:
    images = strokes(20, channels)
    names, values = looks(images, schema_of(images))
    everything = image_columns(images, flat(20))
    assert everything.names[: len(names)] == names
    assert np.array_equal(everything.values[:, : len(names)], values)
    assert ("saturation" in names) == (channels == 3)
    assert looks(images[:0], schema_of(images))[1].shape == (0, len(names))


def test_a_missing_name_is_no_name_and_a_missing_number_is_zero() -> None:
    schema = TableSchema(("a", "b"), (Column("n", "number"), Column("c", "category", ("x", "y"))))
    rows = np.array([[1.5, 1.0], [np.nan, np.nan], [2.0, -1.0]])
    names, values = looks(rows, schema)
    assert names == ("n", "c", "missing")
    assert values.tolist() == [[1.5, 1.0, 0.0], [0.0, -2.0, 1.0], [2.0, -1.0, 0.0]]
    parts = slices.named("c", ("x", "y"), values[:, 1])
    assert {p.value: p.mask.tolist() for p in parts} == {
        "y": [True, False, False], "missing": [False, True, False],
        "unknown": [False, False, True],
    }  # fmt: skip


def test_a_time_is_watched_by_its_parts_as_names() -> None:
    schema = TableSchema(("a", "b"), (Column("at", "number", time=True), Column("n", "number")))
    at = [0.0, -1.0, 951_782_400.0 + 23.5 * 3600, np.nan, 1e300]  # 29 February 2000, a Tuesday
    seen = columns(np.column_stack([at, np.ones(5)]), flat(5, 2), schema)
    assert seen.names[:5] == ("at hour", "at weekday", "at month", "n", "missing")
    assert seen.named == ("at hour", "at weekday", "at month")
    assert seen.values[:4, :3].tolist() == [
        [0.0, 3.0, 0.0], [23.0, 2.0, 11.0], [23.0, 1.0, 1.0], [-2.0, -2.0, -2.0],
    ]  # fmt: skip
    assert np.isfinite(seen.values).all()
    found = slices.named("at weekday", categories(schema)["at weekday"], seen.values[:, 1])
    assert "Thursday" in {part.value for part in found}


def test_a_column_may_not_pass_for_an_embedding() -> None:
    with pytest.raises(DataError, match="cannot be called 'embedding 1 of 4'"):
        TableSchema(("a", "b"), (Column("embedding 1 of 4", "number"),))
    TableSchema(("a", "b"), (Column("embedding 1", "number"),))


def test_a_texts_words_are_counted_once_each() -> None:
    schema = TextSchema(("a", "b"), 40)
    texts = arrays(["win win WIN now", "one two", "", "?!"], schema)
    names, values = looks(texts, schema)
    assert values[:, names.index("distinct_words")].tolist() == [0.5, 1.0, 1.0, 1.0]
