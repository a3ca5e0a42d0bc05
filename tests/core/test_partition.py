from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.core.partition import ENOUGH_PRODUCTION, Partition, SplitRows, partition

SIDES = np.array(["train", "validation", "test"])


def _rows(base: int, production: int, seed: int = 0) -> SplitRows:
    rng = np.random.default_rng(seed)
    count = base + production
    times = np.concatenate([np.full(base, np.nan), 1000.0 + np.arange(production)])
    key = rng.permutation(count * 3)[:count].astype(np.uint64)
    return SplitRows(
        side=SIDES[(key % np.uint64(3)).astype(int)],
        labelled=rng.random(count) < 0.9,
        production=np.arange(count) >= base,
        observed_s=times,
        key=key,
        active=rng.random(count) < 0.2,
    )


def _deal(rows: SplitRows, **changes: Any) -> Partition:
    return partition(rows, **{"recent_share": 0.3, "gap_s": 1.0, "reference_rows": 2000, **changes})


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(0, 60), st.integers(0, 80)), seed=st.integers(0, 99),
    share=st.floats(0.01, 0.99), gap_s=st.floats(0.0, 50.0), most=st.integers(1, 60),
)  # fmt: skip
def test_no_evidence_was_trained_on_and_all_of_it_is_later(
    sizes: tuple[int, int], seed: int, share: float, gap_s: float, most: int
) -> None:
    rows = _rows(*sizes, seed)
    dealt = _deal(rows, recent_share=share, gap_s=gap_s, reference_rows=most)
    fitted = set(dealt.train) | set(dealt.validation)
    assert not fitted & set(dealt.reference)
    for held_out in (dealt.test, dealt.recent):
        assert not fitted & set(held_out)
        assert not np.isin(rows.key[held_out], dealt.seen).any()
    assert len(dealt.reference) <= most
    assert not set(dealt.test) & set(dealt.recent)
    if dealt.cutoff_s is not None and len(dealt.recent):
        assert rows.observed_s[dealt.recent].min() >= dealt.cutoff_s + gap_s
        assert rows.observed_s[dealt.recent].min() > (dealt.trained_until_s or 0.0)


def test_without_production_there_is_no_cutoff_and_the_reference_is_the_test_side() -> None:
    rows = _rows(90, 0)
    dealt = _deal(rows)
    assert (dealt.cutoff_s, dealt.trained_until_s, len(dealt.recent)) == (None, None, 0)
    assert set(dealt.reference) == set(np.flatnonzero(rows.side == "test"))


def test_the_newest_share_of_labelled_production_rows_is_kept() -> None:
    rows = replace(_rows(30, 100), labelled=np.ones(130, dtype=np.bool_))
    dealt = _deal(rows, gap_s=0.0)
    assert dealt.cutoff_s == 1069.0
    late = rows.observed_s > 1069.0
    assert set(dealt.recent) == set(np.flatnonzero(late & (rows.side == "test") & ~rows.active))
    assert dealt.trained_until_s is not None
    assert dealt.trained_until_s <= 1069.0


def test_rows_labelled_because_a_model_was_unsure_are_no_evidence() -> None:
    rows = replace(_rows(30, 100), active=np.ones(130, dtype=np.bool_))
    assert len(_deal(rows).recent) == 0


def test_with_enough_production_the_reference_holds_no_base_row() -> None:
    rows = _rows(600, 4 * ENOUGH_PRODUCTION)
    dealt = _deal(rows, recent_share=0.5)
    assert len(dealt.reference) >= ENOUGH_PRODUCTION
    assert rows.production[dealt.reference].all()
    late = rows.observed_s[dealt.reference] > (dealt.cutoff_s or 0.0)
    assert list(late) == sorted(late, reverse=True)
    newest = rows.observed_s[dealt.reference[late]]
    assert list(newest) == sorted(newest, reverse=True)


def test_entities_that_come_back_are_in_the_reference_as_they_are_in_the_windows() -> None:
    rows = _rows(60, 2000)
    key = np.random.default_rng(1).integers(50, size=2060).astype(np.uint64)
    rows = replace(rows, key=key, side=SIDES[(key % np.uint64(3)).astype(int)])
    dealt = _deal(rows, gap_s=0.0)
    late = np.flatnonzero(rows.production & (rows.observed_s > (dealt.cutoff_s or 0.0)))
    assert set(dealt.reference) == set(late)
    assert np.isin(key[dealt.reference], dealt.seen).mean() > 0.5
    assert not np.isin(key[dealt.recent], dealt.seen).any()


def test_the_reference_of_a_source_sorted_by_class_is_no_single_class() -> None:
    rows = _rows(300, 0)
    dealt = _deal(rows, reference_rows=20)
    assert dealt.reference.max() > 150
