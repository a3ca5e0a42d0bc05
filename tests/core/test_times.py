from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.adapters.sources.cells import as_times
from mlops.core.times import seconds


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-02T03", 97_200.0),
        ("1970-01-02 03:04", 97_440.0),
        ("1970-01-02T03:04:05Z", 97_445.0),
        ("1970-01-02T03:04:05.25+02:00", 90_245.25),
        ("1970-01-02T03:04-0130", 102_840.0),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200.0),
        ("9999-12-31T23:59:59-14:00", 253_402_351_199.0),
        *((text, None) for text in (
            "", "now", "1970-02-30", "1970-01-02T25", "19700102", "1970-W01-1", "86400",
            "1970-01-02T03:04:05.1234567", " 1970-01-02", "1970-01-02\n", "\uff11970-01-02",
        )),
    ],
)  # fmt: skip
def test_a_time_is_iso_8601_and_nothing_like_it(text: str, found: float | None) -> None:
    assert seconds(text) == found


@given(st.datetimes(), st.sampled_from(["", "Z", "+02:00", "-11:30"]))
def test_callers_and_sources_have_the_same_digits(at: object, zone: str) -> None:
    text = f"{at}{zone}"
    assert seconds(text) == as_times(pa.chunked_array([[text]]), "at")[0]
