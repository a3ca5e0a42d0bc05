from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.core import slices
from mlops.core.assessment import Rules, Scored
from mlops.core.schema import Column, ImageSchema, TableSchema
from mlops.core.weakness import Rules as SearchRules

if TYPE_CHECKING:
    from numpy.typing import NDArray

RULES = Rules(confidence=0.95, resamples=200, seed=1, bins=10, min_slice_rows=20, top_k=3)
SCHEMA = ImageSchema(("cat", "dog"), 8, 8, 1)


def scored(right: NDArray[np.bool_], label: NDArray[np.int64] | None = None) -> Scored:
    n = len(right)
    label = np.arange(n) % 2 if label is None else label
    p = np.where((np.arange(2) == label[:, None]) == right[:, None], 0.8, 0.2)
    key = np.random.default_rng(0).integers(0, 2**63, n).astype(np.uint64)
    return Scored(label, p.astype(np.float32), key, np.arange(n) < n // 10)


def test_terciles_divide_evenly_and_crowded_values_get_fewer_cuts() -> None:
    even = np.random.default_rng(0).permutation(np.linspace(0.0, 1.0, 300))
    crowded = np.where(np.arange(300) < 250, 0.0, 1.0)  # most rows are 0
    constant = np.full(300, 0.5)
    cuts = slices.terciles(np.column_stack([even, crowded, constant]))
    assert cuts[0] == pytest.approx((1 / 3, 2 / 3), abs=0.001)
    assert cuts[1:] == ((0.0,), ())
    parts = slices.parts(
        scored(np.ones(300, dtype=bool)), SCHEMA, np.column_stack([even, crowded, constant]),
        ("contrast", "coverage", "noise"), cuts,
    )  # fmt: skip
    by_name = {name: [p for p in parts if p.name == name] for name in ("contrast", "coverage")}
    assert [p.value for p in by_name["contrast"]] == ["low", "middle", "high"]
    assert [p.limits for p in by_name["coverage"]] == ["≤ 0", "> 0"]
    for some in by_name.values():
        assert np.array_equal(np.sum([p.mask for p in some], axis=0), np.ones(300))
    assert not [p for p in parts if p.name == "noise"]
    assert [p.mask.sum() for p in parts if p.name == "origin"] == [270, 30]


def test_a_weak_class_is_told_from_chance_and_a_small_slice_is_not_assessed() -> None:
    label = np.arange(400) % 2
    right = np.where(label == 0, np.arange(400) % 8 != 0, np.arange(400) % 40 != 1)
    rows = scored(right, label)
    parts = slices.parts(rows, SCHEMA, np.zeros((400, 0)), (), ())
    found = {(s.name, s.value): s for s in slices.measure(rows, parts, RULES)}
    everything, cat, dog = found["all", "all"], found["class", "cat"], found["class", "dog"]
    assert everything.adjusted_p is None
    assert cat.score is not None
    assert cat.score.value == right[label == 0].mean()
    assert cat.adjusted_p is not None
    assert cat.adjusted_p < 0.01
    assert dog.adjusted_p == 1.0
    few = Rules(**{**vars(RULES), "min_slice_rows": 50})
    origin = {s.value: s for s in slices.measure(rows, parts, few) if s.name == "origin"}
    assert origin["production"].status == "not assessable"
    assert origin["production"].adjusted_p is None
    assert origin["base"].status == "assessed"


def test_found_slices_are_measured_on_rows_that_did_not_find_them() -> None:
    rng = np.random.default_rng(1)
    looks = rng.uniform(size=(2000, 1))
    rows = scored(rng.uniform(size=2000) < np.where(looks[:, 0] > 0.8, 0.5, 0.95))
    found = slices.find(rows, looks, ("contrast",), RULES, SearchRules(1, 40, 5))
    assert [s.name for s in found] == [slices.FOUND]
    assert found[0].value.startswith("contrast > 0.8")
    assert 150 < found[0].n < 250  # half of the fifth
    assert found[0].score is not None
    assert found[0].score.high < 0.62
    assert found[0].adjusted_p is not None
    assert found[0].adjusted_p < 1e-6


def test_rows_without_a_value_are_a_slice_of_their_own_and_move_no_cut() -> None:
    schema = TableSchema(("cat", "dog"), (Column("age", "number"), Column("wing", "number")))
    rows = np.column_stack([np.linspace(30.0, 60.0, 300), np.ones(300)])
    rows[:90, 0] = np.nan
    names, values = slices.properties(rows, schema)
    cuts = slices.terciles(values)
    assert cuts[0] == pytest.approx(slices.terciles(values[90:])[0])
    assert cuts[0][0] > 30.0
    parts = slices.parts(scored(np.ones(300, dtype=bool)), schema, values, names, cuts)
    age = {p.value: p.mask for p in parts if p.name == "age"}
    assert [(value, int(mask.sum())) for value, mask in age.items()] == [
        ("low", 70), ("middle", 70), ("high", 70), ("missing", 90),
    ]  # fmt: skip
    assert np.array_equal(age["missing"], np.arange(300) < 90)
    assert slices.terciles(np.full((3, 1), np.nan)) == ((),)
    wrong = scored(np.arange(300) >= 90)
    found = slices.find(wrong, values, names, RULES, SearchRules(1, 20, 5))
    assert [s.value for s in found] == ["age missing"]


def test_rare_names_are_one_slice_together_and_the_missing_another() -> None:
    names = tuple("abcdefghijklmnop")
    codes = np.concatenate([np.repeat(np.arange(16.0), np.arange(40, 24, -1)), [-2.0]])
    parts = slices.named("site", names, codes)
    assert [p.value for p in parts] == [*names[:12], "missing", "4 rarer"]
    assert np.array_equal(np.sum([p.mask for p in parts], axis=0), np.ones(len(codes)))
