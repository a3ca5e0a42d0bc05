from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from mlops.core import weakness
from mlops.core.boxes import Condition, FoundSlice
from mlops.core.weakness import Rules, compare, find_slices, finding_half

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("contrast", "sharpness", "noise")
RULES = Rules(depth=2, min_rows=30, most=5)


def keys(n: int, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**63, n).astype(np.uint64)


def planted(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return columns and scores: right 19 times in 20, but half of the time in a corner."""
    rng = np.random.default_rng(seed)
    columns = rng.uniform(size=(n, 3))
    weak = (columns[:, 0] <= 0.3) & (columns[:, 1] > 0.6)
    return columns, (rng.uniform(size=n) < np.where(weak, 0.5, 0.95)).astype(np.float64)


def test_a_planted_slice_is_found_named_and_confirmed_on_the_other_half() -> None:
    columns, score = planted(3000, 0)
    key = keys(3000)
    found = find_slices(columns, NAMES, score, key, RULES)
    worst = found[0]
    assert {c.name for c in worst.conditions} == {"contrast", "sharpness"}
    contrast, sharpness = worst.conditions
    assert contrast.upto == pytest.approx(0.3, abs=0.03)
    assert sharpness.above == pytest.approx(0.6, abs=0.03)
    assert worst.name == f"contrast ≤ {contrast.upto:g} and sharpness > {sharpness.above:g}"
    rest = ~finding_half(key)
    tested = compare([f.mask(columns[rest]) for f in found], score[rest], key[rest])
    assert tested[0].adjusted < 1e-6
    assert tested[0].inside == pytest.approx(0.5, abs=0.12)
    assert tested[0].outside > 0.9
    # The same slice, applied to rows that it was never near.
    fresh, again = planted(2000, 9)
    assert again[worst.mask(fresh)].mean() < 0.65


def test_the_rows_that_test_do_not_search() -> None:
    columns, score = planted(1000, 1)
    key = keys(1000)
    found = find_slices(columns, NAMES, score, key, RULES)
    spoiled = np.where(finding_half(key), score, 1.0 - score)
    assert find_slices(columns, NAMES, spoiled, key, RULES) == found


def test_without_a_weakness_the_search_confirms_one_no_more_often_than_alpha() -> None:
    false, searched = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        columns = rng.uniform(size=(400, 3))
        score = (rng.uniform(size=400) < 0.8).astype(np.float64)
        key = keys(400, seed)
        found = find_slices(columns, NAMES, score, key, RULES)
        rest = ~finding_half(key)
        tested = compare([f.mask(columns[rest]) for f in found], score[rest], key[rest])
        searched += len(found) > 0
        false += any(t.adjusted <= 0.05 for t in tested)
    assert searched > 150
    # 200 × 0.05, and 3 standard errors.
    assert false <= 10 + 9


@pytest.mark.parametrize(
    ("score", "n"), [(np.ones(400), 400), (np.zeros(400), 400), (np.array([0.0, 1.0]), 2)]
)
def test_nothing_is_found_where_nothing_differs_or_too_few_rows_are(
    score: NDArray[np.float64], n: int
) -> None:
    columns = np.random.default_rng(0).uniform(size=(n, 3))
    assert find_slices(columns, NAMES, score, keys(n), RULES) == ()


def test_what_holds_for_most_rows_is_no_slice() -> None:
    rng = np.random.default_rng(3)
    columns = rng.uniform(size=(4000, 3))
    # The few are better, so that the many are "worse than the rest".
    score = (rng.uniform(size=4000) < np.where(columns[:, 2] > 0.8, 1.0, 0.8)).astype(np.float64)
    key = keys(4000)
    for found in find_slices(columns, NAMES, score, key, Rules(1, 30, 5)):
        assert found.mask(columns).mean() <= 0.55


def test_any_score_can_be_asked_about() -> None:
    """The gate's question: where does a candidate lose against a champion?"""
    rng = np.random.default_rng(2)
    columns = rng.uniform(size=(2000, 3))
    difference = rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=2000)
    difference[columns[:, 2] > 0.8] -= 0.4
    key = keys(2000)
    (worst, *_) = find_slices(columns, NAMES, difference, key, RULES)
    assert worst.conditions[0].name == "noise"
    rest = ~finding_half(key)
    mask = worst.mask(columns[rest])
    (tested,) = compare([mask], difference[rest], key[rest])
    theirs = stats.ttest_ind(
        difference[rest][mask], difference[rest][~mask], equal_var=False, alternative="less"
    )
    assert tested.p == pytest.approx(theirs.pvalue)
    assert tested.p < 1e-6


def test_right_and_wrong_have_fishers_exact_test_and_holm_over_all() -> None:
    score = np.array([0.0] * 6 + [1.0] * 4 + [0.0] * 2 + [1.0] * 28)
    masks = [np.arange(40) < 10, np.arange(40) >= 30]
    first, second = compare(masks, score, np.arange(40, dtype=np.uint64))
    theirs = stats.fisher_exact(np.array([[4, 6], [28, 2]]), alternative="less")
    assert first.p == pytest.approx(theirs.pvalue)
    assert (first.n, first.inside) == (10, 0.4)
    assert first.adjusted == pytest.approx(2 * first.p)
    assert second.adjusted == 1.0


def test_rows_of_one_key_are_one_observation() -> None:
    score, key = np.array([0.0, 0.0, 0.0, 1.0, 1.0]), np.array([7, 7, 7, 1, 2], dtype=np.uint64)
    (tested,) = compare([np.array([True, True, True, False, False])], score, key)
    assert tested.n == 1
    assert tested.p == pytest.approx(1 / 3)


@pytest.mark.parametrize("mask", [np.zeros(6, dtype=bool), np.ones(6, dtype=bool)])
def test_an_empty_slice_and_everything_prove_nothing(mask: NDArray[np.bool_]) -> None:
    score = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    (tested,) = compare([mask], score, np.arange(6, dtype=np.uint64))
    assert tested.p == 1.0


def test_a_range_is_written_as_one_condition() -> None:
    box = FoundSlice((Condition(1, "noise", 0.1, 0.25), Condition(0, "contrast", -np.inf, 0.5)))
    assert box.name == "0.1 < noise ≤ 0.25 and contrast ≤ 0.5"
    columns = np.array([[0.5, 0.1], [0.5, 0.25], [0.6, 0.2]])
    assert box.mask(columns).tolist() == [False, True, False]
    assert weakness.compare([], np.ones(3), np.arange(3, dtype=np.uint64)) == ()


def test_categories_are_named_and_not_numbered() -> None:
    rng = np.random.default_rng(5)
    code = rng.integers(-2, 5, 2000).astype(np.float64)
    code[code == -1] = 0.0  # nothing unknown was seen, and nothing unknown is named
    names = ("red", "blue", "green", "black", "white")
    for weak, depth, said in (
        (code == 2, 2, "colour: green"),
        (code <= 0, 1, "colour: missing or red"),
    ):
        score = np.where(weak, 0.0, 1.0)
        found = find_slices(
            code[:, np.newaxis], ("colour",), score, keys(2000), Rules(depth, 30, 5),
            categories={"colour": names},
        )  # fmt: skip
        assert [f.name for f in found] == [said]
    many = tuple((float(n), f"c{n}") for n in range(12))
    assert str(Condition(0, "c", -np.inf, 5.5, many)) == "c: c0 or c1 or c2 or c3 or 2 more"
    assert str(Condition(0, "c", 0.5, np.inf, many)) == "c: not c0"
    assert str(Condition(0, "c", 8.5, 10.5, many)) == "c: c9 or c10"


@pytest.mark.parametrize("said", ["price missing", "price > 0.7 or missing", "price not missing"])
def test_rows_without_a_value_are_a_side_of_their_own(said: str) -> None:
    """As if they had a 0 they would be among the cheapest rows, and hide what is wrong there."""
    rng = np.random.default_rng(6)
    value_N = rng.uniform(size=(2000, 1))
    value_N[rng.uniform(size=2000) < (0.6 if said == "price not missing" else 0.2)] = np.nan
    gone_N = np.isnan(value_N[:, 0])
    weak_N = {"price missing": gone_N, "price not missing": ~gone_N}.get(
        said, gone_N | (value_N[:, 0] > 0.7)
    )
    [found] = find_slices(
        value_N, ("price",), np.where(weak_N, 0.0, 1.0), keys(2000), Rules(1, 30, 5)
    )
    assert found.name == said
    assert (found.mask(value_N) == weak_N).mean() > 0.995


def test_a_value_that_is_missing_only_elsewhere_is_in_no_slice() -> None:
    value_N = np.random.default_rng(7).uniform(size=(2000, 1))
    [found] = find_slices(
        value_N, ("price",), np.where(value_N[:, 0] > 0.3, 1.0, 0.0), keys(2000), Rules(1, 30, 5)
    )
    assert found.name.startswith("price ≤ 0.3")
    assert not found.name.endswith("missing")
    assert not found.mask(np.array([[np.nan]])).any()


def test_what_no_row_of_a_slice_lacks_is_not_said_of_it() -> None:
    """Below a node whose rows all have a value, a tree sends missing ones anywhere."""
    rng, said = np.random.default_rng(8), []
    for seed in range(12):
        value_N = rng.uniform(size=(1500, 2))
        value_N[(value_N[:, 0] < 0.5) & (rng.uniform(size=1500) < 0.3), 1] = np.nan
        weak_N = (value_N[:, 0] > 0.5) & (value_N[:, 1] > 0.3)
        score_N = np.where(rng.uniform(size=1500) < np.where(weak_N, 0.5, 0.95), 1.0, 0.0)
        key_N = keys(1500, seed)
        for found in find_slices(value_N, ("a", "b"), score_N, key_N, RULES):
            gone_N = np.isnan(value_N[:, 1]) & finding_half(key_N)
            assert (" or missing" in found.name) == bool((found.mask(value_N) & gone_N).any())
            said.append(found.name)
    assert any(name.startswith("a > 0.5") for name in said)


def test_a_range_that_rounding_left_nothing_of_is_on_the_missing_alone() -> None:
    rng = np.random.default_rng(9)
    year_N = rng.integers(1990, 2020, 2000).astype(np.float64)
    year_N[rng.uniform(size=2000) < 0.15] = np.nan
    weak_N = np.isnan(year_N)
    [found, *_] = find_slices(
        year_N[:, np.newaxis], ("year",), np.where(weak_N, 0.0, 1.0), keys(2000), Rules(1, 30, 5)
    )
    assert found.name == "year missing"
    cut = Condition(0, "year", 2010.0, 2010.0, missing=True)
    assert str(weakness._whole(cut)) == "year missing"


def test_conditions_with_an_or_in_them_stand_in_brackets() -> None:
    either = Condition(0, "a", 0.6, np.inf, missing=True)
    assert FoundSlice((either,)).name == "a > 0.6 or missing"
    both = FoundSlice((either, Condition(1, "b", -np.inf, 0.5)))
    assert both.name == "(a > 0.6 or missing) and b ≤ 0.5"
