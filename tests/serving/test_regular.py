"""Regular JSON: what the quick reader takes, the careful one takes too, and as the same images."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core.schema import ImageSchema
from mlops.serving import parse, payload, regular
from mlops.serving.reply import Refused

GREY = ImageSchema(("a", "b"), 2, 3, 1)
COLOUR = ImageSchema(("a", "b"), 2, 2, 3)
KEYS = ("inputs", "instances")


def quick(body: bytes, schema: ImageSchema = GREY, most: int = 8) -> Any:
    return regular.images(body, schema, most, KEYS)


def careful(body: bytes, schema: ImageSchema = GREY, most: int = 8) -> Any:
    return payload.scoring(parse.parse(body), schema, most).array


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("schema", "form"),
    [(GREY, "whole"), (GREY, "flat"), (GREY, "pictures"), (COLOUR, "whole"), (COLOUR, "flat")],
)
@pytest.mark.parametrize("spaces", [(",", ":"), (" ,\n", " : "), None])
def test_regular_images_are_read_in_every_form(
    schema: ImageSchema, rows: int, form: str, spaces: tuple[str, str] | None
) -> None:
    pixels = np.random.default_rng(rows).integers(0, 256, (rows, *schema.shape), dtype=np.uint8)
    shapes = {"whole": schema.shape, "flat": (-1,), "pictures": schema.shape[:2]}
    listed = pixels.reshape(rows, *shapes[form]).tolist()
    body = json.dumps({"instances": listed}, separators=spaces).encode()
    found = quick(body, schema)
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels)
    assert np.array_equal(careful(body, schema), pixels)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[[1,2,3,4,5,256]]}', b'{"inputs":[[1,2,3,4,5,-1]]}',
        b'{"inputs":[[1,2,3,4,5,6.0]]}', b'{"inputs":[[1,2,3,4,5,1e1]]}',
        b'{"inputs":[[1,2,3,4,5,01]]}', b'{"inputs":[[1,2,3,4,5,1 1]]}',
        b'{"inputs":[[1,2,3,4,5,]]}', b'{"inputs":[[1,2,3,4,5]]}', b'{"inputs":[]}',
        b'{"inputs":[1[,2,3,4,5,6]]}', b'{"inputs":[[1,2,3,4,5,]6]}',
        b'{"inputs":[1 [,2,3,4,5,6]]}', b'{"inputs":[[1,2,3,4,5,] 6]}',
        b'{"inputs":[[[1,2,3],4[,5,6]]]}', b'{"inputs":[[[1,2,3]4,[,5,6]]]}',
        b'{"inputs":[[1,2,3,4,5,6]],"inputs":[[1,2,3,4,5,7]]}', b'{"inputs":[[1,2,3,4,5,6]]',
        b'{"inputs":[[1,2,3,4,5,6]]}}', b'{"inputs":[[1,2,3,4,5,true]]}', b'{"inputs":null}',
        b'{"images":[[1,2,3,4,5,6]]}', b"[[1,2,3,4,5,6]]", b'{"inputs":[[1,2,3,4,5,"6"]]}',
        b'{"inputs":[[1,2,3,4,5,99999999999999999999]]}', b"",
    ],
)  # fmt: skip
def test_whatever_is_not_regular_is_read_with_care(body: bytes) -> None:
    assert quick(body) is None


def test_too_many_rows_are_left_to_the_one_who_says_so() -> None:
    body = json.dumps({"inputs": [[0] * 6] * 3}).encode()
    assert len(quick(body, most=3)) == 3
    assert quick(body, most=2) is None
    with pytest.raises(Refused, match="at most 2"):
        careful(body, most=2)


PLAIN = json.dumps({"inputs": [[[1, 20], [0, 255], [7, 8]]] * 2}).encode()
TALL = ImageSchema(("a", "b"), 3, 2, 1)


@given(
    st.lists(st.tuples(st.integers(0, len(PLAIN)), st.sampled_from([b"", *b'[],:{}"0159 -.e\n\\'])))
)
def test_no_mutation_is_taken_that_the_careful_reader_refuses(
    edits: list[tuple[int, int | bytes]],
) -> None:
    body = bytearray(PLAIN)
    for place, letter in edits:
        if isinstance(letter, bytes):
            del body[place : place + 1]
        else:
            body[place:place] = bytes([letter])
    found = quick(bytes(body), TALL)
    if found is not None:
        assert np.array_equal(found, careful(bytes(body), TALL))
