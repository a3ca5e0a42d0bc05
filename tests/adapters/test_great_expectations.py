from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.adapters.great_expectations import SHOWN_ROWS, Checked, run_checks
from mlops.params.checks import ChecksSection
from tests.examples import SCHEMA

ROWS = 60
LIMITS = ChecksSection(
    min_rows=50, min_class_share=0.1, max_duplicate_share=0.1, max_conflict_share=0.02,
    max_unlabelled_share=0.1, max_constant_share=0.1,
)  # fmt: skip


def _frame(**changes: Any) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "example_id": [f"{n:032x}" for n in range(ROWS)],
        "group": [f"g{n}" for n in range(ROWS)],
        "observed_s": np.full(ROWS, np.nan),
        "future": [False] * ROWS,
        "untimed": [False] * ROWS,
        "label_source": ["source"] * ROWS,
        "origin": ["base"] * ROWS,
        "split_key": [f"k{n}" for n in range(ROWS)],
        "side": ["train", "validation", "test"] * (ROWS // 3),
        "label": list(SCHEMA.classes) * (ROWS // 3),
        "class_share": [1 / 3] * ROWS,
        "size_bytes": [SCHEMA.size_bytes] * ROWS,
        "mean": [100.0] * ROWS,
        "std": [30.0] * ROWS,
        "high": [250] * ROWS,
        "constant": [False] * ROWS,
        "intact": [True] * ROWS,
        "duplicate": [False] * ROWS,
        "leaked": [None, False, False] * (ROWS // 3),
        "key_sides": [1] * ROWS,
        "conflict": [False] * ROWS,
    }
    for name, cells in changes.items():
        values = list(columns[name])
        values[: len(cells)] = cells
        columns[name] = values
    return pd.DataFrame(columns)


def _check(frame: pd.DataFrame) -> Checked:
    return run_checks(frame, SCHEMA, LIMITS)


def test_a_sound_snapshot_meets_every_expectation() -> None:
    checked = _check(_frame())
    assert [result.name for result in checked.results if not result.success] == []
    assert len({result.name for result in checked.results}) == len(checked.results) == 23


TEN = [True] * 10
CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"example_id": ["x"]}, "example ids are hashes", "critical", "1 of 60 rows fail"),
    ({"example_id": [f"{5:032x}"]}, "example ids are unique", "critical", "2 of 60 rows fail"),
    ({"intact": [False]}, "bytes match their example id", "critical", "1 of 60 rows fail"),
    ({"split_key": [None]}, "every row has a split key", "critical", "1 of 60 rows fail"),
    ({"origin": ["moon"]}, "origins are known", "critical", "(1.67%): moon"),
    ({"label_source": ["model"]}, "label sources are known", "critical", "(1.67%): model"),
    ({"label": ["#17"]}, "labels are known", "critical", "(1.67%): #17"),
    ({"label": ["flat"] * 60}, "every class has rows", "critical", "missing: none, steep"),
    ({"class_share": [0.01]}, "no class is too rare", "critical", "(1.67%): 0.01"),
    ({"label": [None] * 10}, "enough rows are labelled", "critical", "10 of 60 rows fail"),
    ({"conflict": TEN}, "equal features have equal labels", "critical", "10 of 60 rows fail"),
    ({"size_bytes": [7]}, "images have the schema's size", "critical", "(1.67%): 7"),
    ({"constant": TEN}, "images are not one flat colour", "critical", "10 of 60 rows fail"),
    ({"high": [16] * 60}, "pixels use the range 0 to 255", "warning", "16"),
    ({"mean": [0.0] * 9}, "images are neither black nor white", "warning", "9 of 60 rows"),
    ({"duplicate": TEN}, "few base rows are near-copies", "critical", "10 of 60 rows fail"),
    ({"side": ["train"] * 60}, "every side of the split has rows", "critical", "missing: test, v"),
    ({"key_sides": [2]}, "no split key stands on two sides", "critical", "(1.67%): 2"),
    ({"leaked": TEN}, "few held-out rows have near-copies in training", "critical", "10 of 44"),
    ({"future": [True]}, "nothing was observed in the future", "critical", "1 of 60 rows fail"),
    ({"observed_s": [3.0]}, "times are later than the year 2000", "warning", "1 of 1 rows fail"),
    ({"untimed": [True]}, "production rows have times", "critical", "1 of 60 rows fail"),
]


@pytest.mark.parametrize(("changes", "name", "severity", "observed"), CASES)
def test_each_fault_fails_its_expectation_and_names_its_rows(
    changes: dict[str, Any], name: str, severity: str, observed: str
) -> None:
    frame = _frame(**changes)
    failed = {result.name: result for result in _check(frame).results if not result.success}
    assert list(failed) == [name] or name == "every class has rows"
    result = failed[name]
    assert result.severity == severity
    assert observed in result.observed
    if "rows fail" in result.observed:
        assert 1 <= len(result.rows) <= SHOWN_ROWS
        assert set(result.rows) <= set(frame["example_id"])
    assert result.as_json()["name"] == name


def test_every_critical_expectation_has_a_case() -> None:
    tried = {name for _, name, _, _ in CASES}
    every = {result.name for result in _check(_frame()).results}
    assert every - tried == {"there are enough rows"}


def test_too_few_rows_are_counted() -> None:
    failed = [r for r in _check(_frame().iloc[:45]).results if not r.success]
    assert [(r.name, r.observed) for r in failed] == [("there are enough rows", "45")]


def test_what_cannot_be_computed_has_failed() -> None:
    failed = [r for r in _check(_frame().drop(columns="leaked")).results if not r.success]
    assert [r.observed for r in failed] == ["could not be computed"]


def test_shares_below_their_limits_are_met() -> None:
    frame = _frame(duplicate=[True] * 6, constant=[True] * 6, label=[None] * 6, conflict=[True])
    assert [r.name for r in _check(frame).results if not r.success] == []


def test_the_page_is_whole_loads_nothing_and_is_the_same_again() -> None:
    frame = _frame(label=["<script>alert(1)</script>"], high=[16] * 60)
    page = _check(frame).page
    assert not re.search(r"<(script|link|img|iframe)\b[^>]*(src|href)=.?(https?:|//)", page)
    assert "<script>" not in page
    assert "url(" not in page or not re.search(r"url\(.?https?:", page)
    assert "class_share" in page
    assert page == _check(frame).page
