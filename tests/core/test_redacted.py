from __future__ import annotations

import re

import numpy as np
import pytest

from mlops.core.columns import columns
from mlops.core.features import arrays, canonical, identities
from mlops.core.redacted import (
    Redact,
    blank_rows,
    blank_values,
    parse_redact,
    present,
    union,
    unwatched,
    without,
)
from mlops.core.schema import Column, ImageSchema, TableSchema, TextSchema
from mlops.errors import UsageError

TABLE = TableSchema(
    ("no", "yes"),
    (
        Column("age", "number"),
        Column("city", "category", ("Bern", "Genf")),
        Column("since", "number", time=True),
    ),
)


@pytest.mark.parametrize(
    ("text", "fields", "columns"),
    [
        ("", (), ()),
        (" , ", (), ()),
        ("entity", ("entity",), ()),
        ("features, entity ,age", ("features", "entity"), ("age",)),
        ("age,city,age,column:age", (), ("age", "city")),
        ("column:features, column: entity,features", ("features",), ("features", "entity")),
        ('"last, first",size of shoe', (), ("last, first", "size of shoe")),
        ("identity", (), ("identity",)),
    ],
)
def test_names_are_fields_or_columns(
    text: str, fields: tuple[str, ...], columns: tuple[str, ...]
) -> None:
    assert parse_redact(text) == Redact(text, fields, columns)


@pytest.mark.parametrize("text", ["column:", "age,column: ", '"age', '"a"b'])
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"MLOPS_REDACT = {text!r}: ")):
        parse_redact(text)


def test_a_name_that_is_no_column_is_refused_with_those_there_are() -> None:
    parse_redact("entity,age,since").need(TABLE, "version 3")
    said = (
        "MLOPS_REDACT = 'age,ctiy': 'ctiy' is no field of a prediction (entity, features) and no "
        "column of version 3 (did you mean 'city'?), which has age, city, since; correct it"
    )
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_redact("age,ctiy").need(TABLE, "version 3")
    for schema in (ImageSchema(("a", "b"), 4, 4, 1), TextSchema(("a", "b"), 9)):
        parse_redact("features").need(schema, "version 3")
        with pytest.raises(UsageError, match="no column of version 3, which has none"):
            parse_redact("age").need(schema, "version 3")


def test_a_blanked_column_is_missing_in_every_form() -> None:
    values = (
        np.array([30.0, 61.5]),
        np.array(["Bern", None], dtype=object),
        np.array([1e9, np.nan]),
    )
    names = present(("city", "age", "none"), TABLE)
    assert names == ("age", "city")
    blanked = blank_values(values, TABLE, names)
    assert canonical(blanked, TABLE) == [b"[null,null,1000000000.0]", b"[null,null,null]"]
    whole = arrays(values, TABLE)
    np.testing.assert_array_equal(arrays(blanked, TABLE), blank_rows(whole, TABLE, names))
    assert np.isfinite(whole[0]).all()  # the model's own array is not touched
    other = (np.array([31.0, 7.0]), values[1], values[2])
    ids = [identities(canonical(blank_values(v, TABLE, ("age",)), TABLE), TABLE)
           for v in (values, other)]  # fmt: skip
    assert ids[0] == ids[1]  # nothing of the value is in it
    pixels = np.zeros((2, 4, 4, 1), np.uint8)
    assert blank_values(pixels, ImageSchema(("a",), 4, 4, 1), ("age",)) is pixels
    assert blank_rows(whole, TABLE, ()) is whole


def test_what_a_column_gives_is_not_watched() -> None:
    row = arrays((np.array([3.0]), np.array(["Bern"], object), np.array([1e9])), TABLE)
    seen = columns(row, np.array([[0.25, 0.75]], np.float32), TABLE)
    kept = without(seen, TABLE, ("since", "age"))
    assert kept.names == ("city", "missing", "confidence", "entropy")
    assert kept.named == ("city",)
    assert kept.values.shape == (1, 4)
    assert without(seen, TABLE, ()) is seen


def test_a_window_lacks_what_any_of_its_rows_lacks() -> None:
    assert union([(), ("b",), ("b", "a"), ("b",)]) == ("a", "b")
    assert union([]) == ()
    assert unwatched(("a", "b")) == "Not watched: a, b (redacted)"
    assert unwatched(()) == ""
