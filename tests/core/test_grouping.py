from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from mlops.core.example import key_hash
from mlops.core.features import arrays
from mlops.core.grouping import entity_keys, groups, near_duplicate_keys, split_keys
from mlops.core.schema import Column, ImageSchema, TableSchema


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return np.asarray(np.rint(load_digits().images * 255 / 16), dtype=np.uint8)[..., None]


def test_different_digits_have_different_keys(digits: np.ndarray) -> None:
    assert max(Counter(near_duplicate_keys(digits)).values()) == 1


def test_a_re_encoded_copy_keeps_its_key(digits: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0.0, 1.0, digits.shape)
    copies = np.clip(digits + noise, 0, 255).round().astype(np.uint8)
    pairs = zip(near_duplicate_keys(digits), near_duplicate_keys(copies), strict=True)
    assert np.mean([a == b for a, b in pairs]) > 0.95


def test_flat_images_share_no_key_unless_they_are_equal() -> None:
    levels = np.array([0, 0, 10, 200], dtype=np.uint8)
    keys = near_duplicate_keys(np.broadcast_to(levels[:, None, None, None], (4, 8, 8, 1)))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 3), (8, 8, 1), (28, 28, 1), (33, 65, 3)])
def test_every_shape_has_a_key(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, *shape), dtype=np.uint8)
    assert [len(key) for key in near_duplicate_keys(images)] == [32, 32, 32]


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 12), seed=st.integers(0, 99))
def test_a_key_depends_on_its_image_alone(count: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (count, 7, 5, 1), dtype=np.uint8)
    assert near_duplicate_keys(images) == [near_duplicate_keys(i[None])[0] for i in images]


def test_a_declared_entity_overrides_the_group() -> None:
    assert split_keys([None, "ward-3", ""], ["a", "b", "c"]) == ["a", "ward-3", "c"]


def test_rows_of_a_table_that_are_alike_are_one_entity_only_if_one_is_declared() -> None:
    columns = Column("age", "number"), Column("sex", "category", ("f", "m"))
    schema = TableSchema(("n", "y"), columns)
    values = (np.array([31.0, 31.0, np.nan, 40.0]), np.array(["f", "f", None, "m"], dtype=object))
    entities = [None, None, "anna", "anna"]
    key = np.array([key_hash(k) for k in split_keys(entities, groups(values, schema))], np.uint64)
    assert key[0] == key[1]
    found = entity_keys(key, arrays(values, schema), schema)
    assert found[0] != found[1]
    assert found[2] == found[3] == key_hash("anna")


def test_near_copies_of_pictures_are_one_entity() -> None:
    key = np.array([3, 3, 5], np.uint64)
    assert entity_keys(key, np.zeros((3, 2, 2, 1)), ImageSchema(("a", "b"), 2, 2, 1)) is key
