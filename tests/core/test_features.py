from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core import features
from mlops.core.schema import Column, ImageSchema, TableSchema, TextSchema, compatible
from mlops.errors import DataError

TABLE = TableSchema(
    ("no", "yes"), (Column("age", "number"), Column("city", "category", ("a", "b")))
)
TEXT = TextSchema(("no", "yes"), 8)
IMAGE = ImageSchema(("no", "yes"), 2, 2, 1)


def rows(*pairs: tuple[float, str | None]) -> Any:
    ages, cities = zip(*pairs, strict=True)
    return np.array(ages, dtype=np.float64), np.array(cities, dtype=object)


def test_a_row_is_a_json_array_of_its_values() -> None:
    found = features.canonical(rows((1.5, "a"), (np.nan, None), (-0.0, 'q"')), TABLE)
    assert found == [b'[1.5,"a"]', b"[null,null]", b'[0.0,"q\\""]']
    array = features.decode(found, TABLE)
    assert array[0].tolist() == [1.5, 0.0]
    assert np.isnan(array[1]).all()
    assert array[2].tolist() == [0.0, -1.0]  # a category that nobody listed


@given(st.lists(st.tuples(st.floats(allow_infinity=False),
                          st.none() | st.text(st.characters(codec="utf-8"))),
                min_size=1, max_size=5))  # fmt: skip
def test_canonical_bytes_of_a_table_say_all(pairs: list[tuple[float, str | None]]) -> None:
    contents = features.canonical(rows(*pairs), TABLE)
    assert all(features.fits(content, TABLE) for content in contents)
    again = features.read(contents, TABLE)
    assert features.canonical(again, TABLE) == contents
    both = [features.arrays(v, TABLE) for v in (rows(*pairs), again)]
    assert np.array_equal(both[0], both[1], equal_nan=True)


def test_ids_do_not_depend_on_codes_or_lengths() -> None:
    more = TableSchema(("no", "yes"), (TABLE.columns[0], Column("city", "category", ("b", "c"))))
    contents = features.canonical(rows((1.0, "b")), TABLE)
    assert features.identities(contents, TABLE) == features.identities(contents, more)
    texts = features.canonical(["a long text"], TEXT)
    longer = TextSchema(TEXT.classes, 99)
    assert features.identities(texts, TEXT) == features.identities(texts, longer)
    assert features.identities(texts, TEXT) != features.identities(texts, TABLE)


def test_texts_are_composed_cut_before_a_character_and_padded() -> None:
    assert features.canonical(["e\u0301"], TEXT) == ["é".encode()]
    array = features.arrays(["abcdefgé", "ab"], TEXT)
    assert bytes(array[0]) == b"abcdefg\0"
    assert bytes(array[1]) == b"ab" + b"\0" * 6
    assert features.values_of(array, TEXT) == ["abcdefg", "ab"]
    with pytest.raises(DataError, match="half a character"):
        features.canonical(["\ud800"], TEXT)


@pytest.mark.parametrize(
    ("content", "schema"),
    [
        (b"[1]", TABLE), (b'[1,"a",2]', TABLE), (b'["x","a"]', TABLE), (b"[1,2]", TABLE),
        (b'[NaN,"a"]', TABLE), (b'[1e999,"a"]', TABLE), (b'[true,"a"]', TABLE), (b"\xff", TABLE),
        (b"{}", TABLE), (b"[" * 100_000, TABLE), (b"\xff", TEXT), (b"123", IMAGE),
    ],
)  # fmt: skip
def test_bytes_of_another_schema_are_told_by_their_place(content: bytes, schema: Any) -> None:
    assert not features.fits(content, schema)
    with pytest.raises(DataError, match="example number 0"):
        features.read([content], schema)


@pytest.mark.parametrize("schema", [TABLE, TEXT, IMAGE])
def test_no_rows_are_rows_too(schema: Any) -> None:
    assert features.decode([], schema).shape == (0, *schema.shape)


def test_a_model_of_fewer_categories_can_be_compared_and_one_of_other_columns_not() -> None:
    grown = TableSchema(
        TABLE.classes, (TABLE.columns[0], Column("city", "category", ("a", "b", "c")))
    )
    other = TableSchema(TABLE.classes, (TABLE.columns[0], Column("city", "category", ("b", "a"))))
    assert compatible(TABLE, grown)
    assert compatible(grown, TABLE)
    assert not compatible(TABLE, other)
    assert not compatible(TABLE, TEXT)


@pytest.mark.parametrize("name", ["label", "class", "", "age"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be called|stands twice"):
        TableSchema((), (Column("age", "number"), Column(name, "number")))
