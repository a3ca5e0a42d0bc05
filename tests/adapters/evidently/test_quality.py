"""Evidently's counts of a window's rows are those that the verdict's breaks are made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlops.adapters.evidently.quality import UNKNOWN, Quality, quality
from mlops.core.columns import blank
from mlops.core.quality import Arrivals, breaks
from mlops.core.schema import Column, ImageSchema, Schema, TableSchema
from mlops.core.sent import PAGE_ROWS, Sent, sent_rows
from mlops.core.usual import contents, usual
from mlops.core.volume import Span
from mlops.errors import MonitorError

TABLE = TableSchema(
    ("no", "yes"),
    (
        Column("price", "number"), Column("colour", "category", ("red", "<green>")),
        Column("seen", "number", time=True), Column("gone", "number"),
    ),
)  # fmt: skip
IMAGE = ImageSchema(("a", "b"), 2, 2, 1)


def rows(count: int, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    return np.column_stack([
        rng.normal(10, 1, count), rng.integers(0, 2, count), 1.7e9 + rng.random(count) * 1e6,
        rng.normal(0, 1, count),
    ])  # fmt: skip


def material(
    features: np.ndarray[Any, Any], schema: Schema, reference: np.ndarray[Any, Any],
    unsound: int = 0,
) -> Quality:  # fmt: skip
    before, count = usual(reference, schema), len(features)
    fit = np.arange(count) >= unsound
    ids = [row.tobytes().hex() for row in features]
    sent = Sent(
        count + 3, 3, unsound, contents(features, schema, before),
        sent_rows(features, fit, ids, schema),
    )  # fmt: skip
    known = np.ones(len(reference), dtype=bool)
    own = sent_rows(reference, known, [str(n) for n in range(len(reference))], schema)
    return Quality(sent, own, schema, before)


def messy(count: int) -> Quality:
    window = rows(count, seed=2)
    window[: count // 2, 0] = np.nan
    window[count // 2 : count // 2 + 7, 0] = 1e6
    window[: count // 4, 1] = -1.0
    window[-5:, 1] = np.nan
    window[:, 3] = np.nan
    window[-4:] = window[-4]
    return material(window, TABLE, rows(300), unsound=9)


def by_column(told: list[dict[str, Any]], kind: str) -> dict[str, float]:
    return {
        m["config"]["column"]: m["value"]["count"]
        for m in told
        if m["config"]["type"].endswith(f":{kind}") and "column" in m["config"]
    }


def test_missing_unknown_far_and_unsound_rows_are_counted_alike() -> None:
    told = messy(200)
    metrics = quality(told, "w").metrics
    assert by_column(metrics, "MissingValueCount") == {
        "price": 100, "colour": 5, "seen": 0, "gone": 200,
    }  # fmt: skip
    assert by_column(metrics, "OutRangeValueCount")["price"] == 7
    assert by_column(metrics, "CategoryCount") == {"(answer)": 9, "(example)": 0, "colour": 50}
    held, arrivals = told.sent.contents, Arrivals(3, ["x", "y"], Span(0.0, 1.0), [])
    said = breaks(held, TABLE, told.usual, unsound=9, arrivals=arrivals)
    assert [text.split(" ")[:2] for text in said if "gone" in text] == [["missing", "gone:"]]


@pytest.mark.parametrize(
    ("column", "what"), [("missing", "price missing"), ("unknown", "colour unknown"),
                         ("beyond", "price out of range")]
)  # fmt: skip
def test_a_count_of_another_size_is_refused(column: str, what: str) -> None:
    told = messy(200)
    held = told.sent.contents
    place = 1 if column == "unknown" else 0
    counts = list(getattr(held, column))
    counts[place] += 1
    changed: dict[str, Any] = {column: tuple(counts)}
    wrong = replace(held, **changed)
    with pytest.raises(MonitorError, match=f"window w: {what} is"):
        quality(replace(told, sent=replace(told.sent, contents=wrong)), "w")


def test_unsound_rows_of_another_number_are_refused() -> None:
    told = messy(200)
    with pytest.raises(MonitorError, match="unsound answers"):
        quality(replace(told, sent=replace(told.sent, unsound=8)), "w")


def test_of_images_blank_ones_and_copies_are_counted() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (80, 2, 2, 1), dtype=np.uint8)
    reference = image[:40].copy()
    image[:30] = 7
    told = material(image, IMAGE, reference)
    assert told.sent.contents.blank == int(blank(image).sum()) == 30
    metrics = quality(told, "w").metrics
    assert by_column(metrics, "CategoryCount") == {"(answer)": 0, "(example)": 30}
    [copies] = [m["value"] for m in metrics if m["config"]["type"].endswith(":MaxValue")]
    assert copies == 30
    wrong = replace(told.sent.contents, blank=29)
    with pytest.raises(MonitorError, match="blank examples"):
        quality(replace(told, sent=replace(told.sent, contents=wrong)), "w")


def test_of_many_rows_a_sample_is_counted_and_the_count_of_all_is_kept() -> None:
    told = messy(PAGE_ROWS + 2000)
    metrics = quality(told, "w").metrics
    [count] = [m["value"] for m in metrics if m["config"]["type"].endswith(":RowCount")][:1]
    assert count == PAGE_ROWS
    assert not told.sent.whole
    assert told.sent.contents.missing[0] == 6000
    shown = told.counted.contents
    assert by_column(metrics, "MissingValueCount")["price"] == shown.missing[0]
    assert shown.missing[0] == pytest.approx(5000, abs=10)


def test_names_of_users_are_not_taken_for_stand_ins() -> None:
    names = (UNKNOWN, "b<", "b\u2039")
    columns = (Column("(answer)", "category", names), Column("(example)", "number"))
    schema = TableSchema(("no", "yes"), columns)
    code = np.array([0.0] * 10 + [1.0] * 6 + [2.0] * 5 + [-1.0] * 4)
    features = np.column_stack([code, np.arange(25.0)])
    metrics = quality(material(features, schema, features, unsound=2), "w").metrics
    counted = by_column(metrics, "CategoryCount")
    assert counted == {"(answer)": 2, "(example)": 0, "(answer)'": 4}
    [shares] = [m["value"]["counts"] for m in metrics if "UniqueValueCount" in m["config"]["type"]]
    assert sorted(shares.values()) == [4, 5, 6, 10]
