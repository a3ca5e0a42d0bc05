"""The gate on models that predict numbers: error in shares of the champion's, in any unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mlops.core.exam import Anchor, Cohort, Exam, Memory, Paired, Trial
from mlops.core.gate import judge
from mlops.core.noninferiority import non_inferior, relative_bounds
from mlops.core.primary_error import errors_needed
from mlops.core.rules import Rules
from mlops.core.wanted import Levels

RULES = Rules(
    margin=0.0, alpha=0.05, power=0.8, effect=0.03, min_rows=60, min_coverage=0.9,
    anchor_margin=0.05, non_inferiority=(("base_accuracy", 0.05),),
    floors=(("coverage", 0.8),),
    ceilings=(("latency_ms", 50.0), ("memory_mb", 500.0), ("size_mb", 50.0)),
    slices=(), protected=(), required_slices=(), min_slice_rows=20, resamples=500, seed=7,
    gap_s=1.0, block_s=0.0,
)  # fmt: skip
NOW_S = 5000.0
LEVELS = Levels(alpha=0.025, again=0.0083, power=0.8)
MEMORY = Memory(np.arange(10, dtype=np.uint64), 1000.0)
TRIAL = Trial(latency_ms=1.0, memory_mb=80.0, size_mb=2.0, worst_difference=1e-7)


def paired(n: int, candidate: float, champion: float, seed: int, unit: float = 1.0) -> Paired:
    """Targets about 50, and quantiles whose medians err by these standard deviations."""
    rng = np.random.default_rng(seed)
    label = rng.normal(50.0, 10.0, n)

    def said(spread: float) -> np.ndarray:
        point = label + rng.normal(0.0, spread, n)
        reach = 2.0 * spread
        return (unit * np.column_stack([point - reach, point, point + reach])).astype(np.float32)

    return Paired(
        label=unit * label, candidate=said(candidate), champion=said(champion),
        key=np.arange(1000 * seed, 1000 * seed + n, dtype=np.uint64),
        observed_s=np.full(n, NOW_S),
    )  # fmt: skip


def exam(candidate: float, champion: float, n: int = 400, unit: float = 1.0) -> Exam:
    return Exam(
        classes=(), recent=paired(n, candidate, champion, 1, unit),
        base=paired(400, 2.0, 2.0, 2, unit), candidate=MEMORY, champion=MEMORY, trial=TRIAL,
        cohort=Cohort(1000, 950, NOW_S),
    )  # fmt: skip


@pytest.mark.parametrize("unit", [1.0, 1e5])
@pytest.mark.parametrize(
    ("candidate", "champion", "outcome"),
    [(2.0, 3.0, "promote"), (3.0, 2.0, "reject"), (2.0, 2.0, "inconclusive")],
)
def test_the_smaller_error_wins_whatever_the_unit(
    candidate: float, champion: float, outcome: str, unit: float
) -> None:
    verdict = judge(exam(candidate, champion, unit=unit), RULES)
    assert verdict.outcome == outcome, verdict.reasons
    first = next(c for c in verdict.checks if c.name == "recent absolute error")
    assert "absolute error on 400 recent rows smaller by" in first.words
    assert verdict.evidence.metric == "absolute error"
    assert verdict.evidence.difference is not None
    assert verdict.evidence.difference == pytest.approx(1.0 - candidate / champion, abs=0.12)
    assert (verdict.missing_labels > 0) == (outcome == "inconclusive")


def test_a_margin_lets_an_equal_model_pass() -> None:
    assert judge(exam(2.0, 2.0, n=3000), replace(RULES, margin=0.1)).outcome == "promote"


def test_too_few_labels_are_inconclusive() -> None:
    verdict = judge(exam(2.0, 3.0, n=40), RULES)
    assert (verdict.outcome, verdict.missing_labels) == ("inconclusive", 20)


def test_intervals_that_are_too_narrow_fall_below_the_floor() -> None:
    given = exam(2.0, 3.0)
    narrow = given.base.candidate
    assert narrow is not None
    middle = narrow[:, 1:2]
    base = replace(given.base, candidate=np.asarray(middle + (narrow - middle) * np.float32(0.2)))
    verdict = judge(replace(given, base=base), RULES)
    assert verdict.outcome == "reject"
    assert any(r.startswith("coverage on base test rows 0.") for r in verdict.reasons)


def test_a_model_worse_than_the_median_is_refused() -> None:
    given = exam(2.0, 3.0)
    verdict = judge(replace(given, base=paired(400, 30.0, 30.0, 2), champion=None), RULES)
    assert verdict.outcome == "reject"
    assert any("their median as the answer has" in r for r in verdict.reasons)


def test_what_all_promotions_lose_together_is_capped() -> None:
    given = exam(2.3, 2.4, n=3000)
    rng = np.random.default_rng(9)
    near = given.recent.label + rng.normal(0.0, 1.5, 3000)
    anchored = np.column_stack([near - 3.0, near, near + 3.0]).astype(np.float32)
    with_anchor = replace(
        given, recent=replace(given.recent, anchor=anchored), anchor=Anchor("1", MEMORY)
    )
    verdict = judge(with_anchor, replace(RULES, margin=0.05))
    assert verdict.outcome == "reject"
    assert any("against version 1, the anchor" in reason for reason in verdict.reasons)


def test_a_part_that_gets_worse_blocks() -> None:
    given = exam(1.0, 3.0, n=1000)
    rows = given.recent
    weak = np.arange(1000) < 200
    said = rows.candidate
    assert said is not None
    spoiled = said.copy()
    spoiled[weak] += np.float32(8.0)
    column = np.where(weak, 0.0, 1.0)[:, np.newaxis]
    harmed = replace(
        given, recent=replace(rows, candidate=spoiled, columns=column),
        base=replace(given.base, columns=np.zeros((400, 1))),
        columns=("shop",), categories=(("north", "south"),),
    )  # fmt: skip
    verdict = judge(harmed, replace(RULES, slices=("shop",)))
    assert verdict.outcome == "reject"
    assert any("worse on shop north" in reason for reason in verdict.reasons)


def test_coverage_that_no_row_shows_to_differ_still_has_an_interval() -> None:
    """A bootstrap of rows that never differ has no width, and would pass whatever is true."""
    rng, rows, margin = np.random.default_rng(0), 60, 0.02
    label, key = np.zeros(rows), np.arange(rows, dtype=np.uint64)
    inside, outside = [-1.0, 0.0, 1.0], [1.0, 2.0, 3.0]
    champion = np.tile(inside, (rows, 1)).astype(np.float32)
    passed = 0
    for _ in range(60):
        lost = rng.random((rows, 1)) < margin
        candidate = np.where(lost, outside, inside).astype(np.float32)
        scored = Paired(label, candidate, champion, key, np.full(rows, NOW_S))
        check, [metric] = non_inferior("coverage", margin, scored, RULES, LEVELS)
        assert metric.lower is not None
        assert metric.upper is not None
        assert metric.upper - metric.lower > 1 / rows
        passed += check.passed is True
    assert passed <= 4  # 2.5 % of 60 are 1.5; a bootstrap alone passes 17


def test_the_labels_asked_for_show_the_gain_they_reckon_with() -> None:
    """Half the candidates hardly differ from the champion yet, and promise no variance."""
    rng, found, trials = np.random.default_rng(1), 0, 60
    for trial in range(trials):
        tie = (0.9, 1.0)[trial % 2]

        def errors(rows: int, tie: float = tie) -> tuple[np.ndarray, np.ndarray]:
            theirs, own = rng.standard_normal((2, rows))
            return np.abs(tie * theirs + np.sqrt(1.0 - tie**2) * own), np.abs(theirs)

        rows = errors_needed(
            *errors(100),
            np.arange(100, dtype=np.uint64),
            alpha=0.025,
            power=0.8,
            effect=0.1,
            margin=0.0,
        )
        ours_N, theirs_N = errors(rows)
        key_N = np.arange(rows, dtype=np.uint64)
        found += relative_bounds(0.9 * ours_N, theirs_N, key_N, 0.0, 0.025).lower > 0.0
    assert found >= stats.binom.ppf(0.001, trials, 0.8)


def test_an_error_that_is_lost_on_few_rows_does_not_pass_because_none_was_seen() -> None:
    rng, rows, passed = np.random.default_rng(2), 60, 0
    key, times = np.arange(rows, dtype=np.uint64), np.full(rows, NOW_S)
    for _ in range(60):
        residual = rng.standard_normal(rows)
        worse = residual + np.sign(residual) * np.where(rng.random(rows) < 0.02, 2.0, 0.0)
        ours, theirs = (np.repeat(r[:, None], 3, axis=1) for r in (worse, residual))
        scored = Paired(
            np.zeros(rows), ours.astype(np.float32), theirs.astype(np.float32), key, times
        )
        passed += non_inferior("base_mae", 0.05, scored, RULES, LEVELS)[0].passed is True
    assert passed <= 5


def test_labels_of_dependent_rows_are_asked_for_by_what_they_are_worth() -> None:
    alone = exam(2.0, 2.0)
    order = np.repeat(np.arange(400), 5)
    copied = replace(alone, recent=alone.recent.take(order))
    first, second = (judge(e, RULES) for e in (alone, copied))
    rows = [v.missing_labels + v.evidence.recent_rows for v in (first, second)]
    assert rows[1] == pytest.approx(5 * rows[0], rel=0.02)
