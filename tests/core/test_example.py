from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core.example import (
    example_id,
    key_hash,
    position,
    reserved,
    side,
)  # fmt: skip
from mlops.core.features import canonical, identities
from mlops.core.schema import ImageSchema

keys = st.text(max_size=30)

salts = st.text(min_size=1, max_size=5)


@given(keys, salts)
def test_a_position_is_in_the_unit_interval_and_stays(key: str, salt: str) -> None:
    at = position(key, salt)
    assert 0.0 <= at < 1.0
    assert position(key, salt) == at


@given(keys, salts)
def test_the_sides_are_cut_in_the_declared_order(key: str, salt: str) -> None:
    at = position(key, f"split:{salt}")
    expected = "test" if at < 0.25 else "validation" if at < 0.4 else "train"
    assert side(key, salt=salt, validation=0.15, test=0.25) == expected


@given(keys, salts, st.floats(0.0, 0.5))
def test_growing_validation_moves_no_row_into_or_out_of_test(
    key: str, salt: str, share: float
) -> None:
    sides = {side(key, salt=salt, validation=v, test=0.3) for v in (share, share / 2)}
    assert sides == {"test"} or "test" not in sides


@given(keys, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_larger_reserve_holds_the_smaller_one(key: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    if reserved(key, share=low):
        assert reserved(key, share=high)


@given(keys)
def test_a_key_hash_fits_64_bits(key: str) -> None:
    assert 0 <= key_hash(key) < 2**64


def test_the_shares_are_met_and_the_reserve_is_independent_of_the_split() -> None:
    names = [f"row-{n}" for n in range(4000)]
    held = [n for n in names if reserved(n, share=0.35)]
    assert len(held) / len(names) == pytest.approx(0.35, abs=0.03)
    sides = Counter(side(n, salt="1", validation=0.15, test=0.25) for n in held)
    assert sides["test"] / len(held) == pytest.approx(0.25, abs=0.04)
    assert sides["validation"] / len(held) == pytest.approx(0.15, abs=0.04)


def test_another_salt_deals_the_rows_anew() -> None:
    names = [f"row-{n}" for n in range(500)]
    dealt = [[side(n, salt=s, validation=0.2, test=0.2) for n in names] for s in ("1", "2")]
    assert dealt[0] != dealt[1]


@given(st.binary(min_size=12, max_size=12))
def test_equal_bytes_of_another_shape_are_another_example(content: bytes) -> None:
    assert example_id(content, (2, 6, 1)) != example_id(content, (6, 2, 1))
    assert example_id(content, (2, 6, 1)) == example_id(bytes([*content]), [2, 6, 1])


def test_an_id_depends_on_the_pixels_alone() -> None:
    images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
    strided = np.asfortranarray(images)
    schema = ImageSchema(("a", "b"), 4, 4, 1)
    ids = [identities(canonical(one, schema), schema) for one in (images, strided)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_the_size_of_an_image_follows_from_its_shape() -> None:
    schema = ImageSchema(("a", "b"), 4, 5, 3)
    assert (schema.shape, schema.size_bytes) == ((4, 5, 3), 60)
