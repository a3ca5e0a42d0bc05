from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlops.core.exam import Exam, Memory, Paired, Rules
from mlops.core.gate import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RULES = Rules(
    margin=0.0, alpha=0.05, power=0.8, effect=0.03, min_rows=60, base_margin=0.05,
    log_loss_margin=0.1, floors=(("accuracy", 0.7), ("balanced_accuracy", 0.65), ("roc_auc", 0.8)),
    max_latency_ms=50.0, min_slice_rows=20, resamples=500, seed=7, gap_s=1.0,
)  # fmt: skip
CLASSES = ("a", "b", "c")
TRAINED_S, NOW_S = 1000.0, 5000.0
MEMORY = Memory(np.arange(10, dtype=np.uint64), TRAINED_S)


def answers(
    label: NDArray[np.int64], accuracy: float, rng: np.random.Generator, sure: float = 0.8
) -> NDArray[np.float32]:
    """Return probabilities of a model that is right with this accuracy."""
    wrong = rng.random(len(label)) >= accuracy
    said = np.where(wrong, (label + rng.integers(1, 3, len(label))) % 3, label)
    out = np.full((len(label), 3), (1 - sure) / 2)
    out[np.arange(len(label)), said] = sure
    return out.astype(np.float32)


def paired(n: int, candidate: float, champion: float, seed: int, start_key: int) -> Paired:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    return Paired(
        label=label,
        candidate=answers(label, candidate, rng),
        champion=answers(label, champion, rng),
        key=np.arange(start_key, start_key + n, dtype=np.uint64),
        observed_s=np.full(n, NOW_S),
    )


def exam(candidate: float = 0.95, champion: float = 0.7, n: int = 300, seed: int = 1) -> Exam:
    return Exam(
        classes=CLASSES,
        recent=paired(n, candidate, champion, seed, 1000),
        base=paired(400, 0.93, 0.92, seed + 1, 100_000),
        candidate=MEMORY,
        champion=MEMORY,
        latency_ms=1.0,
    )


def test_a_clearly_better_candidate_is_promoted_with_its_numbers() -> None:
    verdict = judge(exam(), RULES)
    assert verdict.outcome == "promote"
    assert verdict.missing_labels == 0
    assert verdict.evidence.difference is not None
    assert verdict.evidence.lower is not None
    assert 0.0 < verdict.evidence.lower < verdict.evidence.difference
    assert "recent rows" in verdict.reasons[0]
    assert {c.passed for c in verdict.checks} == {True}


def test_a_clearly_worse_candidate_is_rejected() -> None:
    verdict = judge(exam(candidate=0.6, champion=0.9), RULES)
    assert verdict.outcome == "reject"
    assert any("recent rows" in reason for reason in verdict.reasons)


def test_an_equal_candidate_is_inconclusive_and_says_how_many_labels_are_missing() -> None:
    verdict = judge(exam(candidate=0.8, champion=0.8, n=100), RULES)
    assert verdict.outcome == "inconclusive"
    z = stats.norm.isf(0.05) + stats.norm.ppf(0.8)
    assert verdict.evidence.discordance is not None
    needed = np.ceil(z**2 * verdict.evidence.discordance / 0.03**2)
    assert verdict.missing_labels == int(needed) - 100


def test_too_few_recent_rows_are_said_not_replaced_by_base_rows() -> None:
    verdict = judge(exam(n=40), RULES)
    assert (verdict.outcome, verdict.missing_labels) == ("inconclusive", 20)
    assert "20 are missing" in verdict.reasons[0]


def test_a_margin_promotes_an_equal_candidate_and_not_a_worse_one() -> None:
    rules = replace(RULES, margin=0.1)
    equal = exam(candidate=0.9, champion=0.9, n=400)
    assert judge(equal, rules).outcome == "promote"
    assert judge(exam(candidate=0.7, champion=0.9, n=400), rules).outcome == "reject"


def test_rows_that_either_model_has_seen_or_that_are_too_old_do_not_count() -> None:
    given_exam = exam()
    seen = Memory(np.arange(1000, 1100, dtype=np.uint64), TRAINED_S)
    verdict = judge(replace(given_exam, champion=seen), RULES)
    assert (verdict.evidence.recent_rows, verdict.evidence.recent_excluded) == (200, 100)
    times = given_exam.recent.observed_s.copy()
    times[:50], times[50:60] = TRAINED_S + RULES.gap_s, np.nan
    late = replace(given_exam, recent=replace(given_exam.recent, observed_s=times))
    assert judge(late, RULES).evidence.recent_excluded == 60
    base_seen = Memory(np.arange(100_000, 100_200, dtype=np.uint64), None)
    assert judge(replace(given_exam, candidate=base_seen), RULES).evidence.base_excluded == 200


def test_all_rows_seen_is_missing_evidence() -> None:
    everything = Memory(np.arange(0, 200_000, dtype=np.uint64), None)
    verdict = judge(replace(exam(), champion=everything), RULES)
    assert verdict.outcome == "reject"
    assert "seen in training" in verdict.reasons[0]


def _recent(given_exam: Exam, change: Callable[[Paired], Paired]) -> Exam:
    return replace(given_exam, recent=change(given_exam.recent))


def _both(given_exam: Exam, change: Callable[[Paired], NDArray[np.float32] | None]) -> Exam:
    """Poison the candidate's probabilities on recent and base rows alike."""
    return replace(
        given_exam,
        recent=replace(given_exam.recent, candidate=change(given_exam.recent)),
        base=replace(given_exam.base, candidate=change(given_exam.base)),
    )


def _nan(rows: Paired) -> NDArray[np.float32]:
    assert rows.candidate is not None
    out = rows.candidate.copy()
    out[3, 1] = np.nan
    return out


def _constant(rows: Paired) -> NDArray[np.float32]:
    return np.tile(np.array([0.4, 0.3, 0.3], dtype=np.float32), (len(rows.label), 1))


def _swapped(rows: Paired) -> NDArray[np.float32]:
    assert rows.candidate is not None
    return rows.candidate[:, [1, 0, 2]]


def _flipped(rows: Paired) -> NDArray[np.float32]:
    """Return the answers of a model trained on 30 % flipped labels: less right, less sure."""
    return answers(rows.label, 0.7, np.random.default_rng(4), 0.5)


def _shorter(rows: Paired) -> NDArray[np.float32]:
    assert rows.candidate is not None
    return rows.candidate[:-5]


def _narrower(rows: Paired) -> NDArray[np.float32]:
    assert rows.candidate is not None
    return rows.candidate[:, :2]


POISON: dict[str, tuple[Callable[[Exam], Exam], str]] = {
    "constant predictor": (lambda e: _both(e, _constant), "accuracy"),
    "swapped classes": (lambda e: _both(e, _swapped), "accuracy"),
    "NaN probabilities": (lambda e: _both(e, _nan), "NaN"),
    "flipped labels": (lambda e: _both(e, _flipped), "accuracy"),
    "fewer rows": (lambda e: _both(e, _shorter), "shape"),
    "fewer classes": (lambda e: _both(e, _narrower), "shape"),
    "no scores": (lambda e: _both(e, lambda _: None), "missing"),
    "no proof": (lambda e: replace(e, candidate=Memory(None, None)), "not recorded"),
    "no proof of champion": (lambda e: replace(e, champion=Memory(None, None)), "not recorded"),
    "NaN time": (lambda e: replace(e, candidate=Memory(MEMORY.seen, float("nan"))), "no number"),
    "no latency": (lambda e: replace(e, latency_ms=None), "latency"),
    "NaN latency": (lambda e: replace(e, latency_ms=float("nan")), "latency"),
    "slow": (lambda e: replace(e, latency_ms=51.0), "one row takes"),
    "a named fault": (lambda e: replace(e, faults=("the manifest is gone",)), "manifest"),
    "labels outside": (
        lambda e: _recent(e, lambda r: replace(r, label=r.label + 1)), "outside the 3 classes",
    ),
    "no base rows": (
        lambda e: replace(e, base=e.base.take(np.zeros(len(e.base.label), bool))), "no base",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POISON)
@pytest.mark.parametrize("champion", [0.7, 0.9])
def test_a_poisoned_candidate_is_refused_for_the_right_reason(name: str, champion: float) -> None:
    poison, words = POISON[name]
    verdict = judge(poison(exam(champion=champion)), RULES)
    assert verdict.outcome == "reject"
    assert any(words in reason for reason in verdict.reasons), verdict.reasons


@pytest.mark.parametrize("name", [n for n in POISON if n != "no proof of champion"])
def test_a_poisoned_first_model_is_refused_too(name: str) -> None:
    poisoned = POISON[name][0](exam())
    alone = replace(
        poisoned,
        champion=None,
        recent=replace(poisoned.recent, champion=None),
        base=replace(poisoned.base, champion=None),
    )
    assert judge(alone, RULES).outcome == "reject"


def test_a_sound_first_model_needs_floors_a_constant_and_latency_only() -> None:
    first = replace(exam(), champion=None)
    verdict = judge(first, RULES)
    assert verdict.outcome == "promote"
    assert {c.name for c in verdict.checks} >= {"floor accuracy", "base constant", "latency"}
    high = replace(RULES, floors=(("accuracy", 0.99),))
    assert judge(first, high).outcome == "reject"
    unknown = replace(RULES, floors=(("f2", 0.1),))
    assert "no known metric" in judge(first, unknown).reasons[0]


def test_a_constant_that_beats_a_collapsed_champion_is_not_promoted() -> None:
    collapsed = _both(exam(champion=0.1), _constant)
    verdict = judge(collapsed, replace(RULES, floors=()))
    assert verdict.outcome == "reject"


def test_harm_to_one_class_blocks_and_small_classes_are_named() -> None:
    given_exam = exam(candidate=1.0, champion=0.8, n=600)
    label, scores = given_exam.recent.label, given_exam.recent.candidate
    assert scores is not None
    harmed = scores.copy()
    harmed[label == 2] = np.array([0.6, 0.2, 0.2], dtype=np.float32)
    few = label != 1
    few[np.flatnonzero(label == 1)[:5]] = True
    rows = replace(given_exam.recent, candidate=harmed).take(few)
    verdict = judge(replace(given_exam, recent=rows), replace(RULES, log_loss_margin=9.0))
    check = next(c for c in verdict.checks if c.name == "classes")
    assert check.passed is False
    assert "class c" in check.words
    assert "too few rows to assess: b" in check.words
    assert verdict.outcome == "reject"


def test_base_rows_guard_what_recent_rows_cannot_see() -> None:
    given_exam = exam()
    lost = replace(given_exam, base=paired(400, 0.75, 0.95, 9, 100_000))
    assert judge(lost, RULES).outcome == "reject"
    small = replace(given_exam, base=paired(40, 0.95, 0.95, 9, 100_000))
    assert judge(small, RULES).outcome == "inconclusive"


@given(seed=st.integers(0, 10_000), n=st.integers(20, 200), equal=st.floats(0.5, 0.95))
@settings(max_examples=25, deadline=None)
def test_identical_models_are_never_promoted_under_superiority(
    seed: int, n: int, equal: float
) -> None:
    given_exam = exam(candidate=equal, champion=equal, n=n, seed=seed)
    same = replace(
        given_exam, recent=replace(given_exam.recent, champion=given_exam.recent.candidate)
    )
    assert judge(same, RULES).outcome != "promote"


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_changes_no_outcome(seed: int) -> None:
    given_exam, rng = exam(seed=3), np.random.default_rng(seed)
    order = rng.permutation(len(given_exam.recent.label))
    rows = Paired(**{n: v[order] for n, v in vars(given_exam.recent).items()})
    shuffled = replace(given_exam, recent=rows)
    first, second = judge(given_exam, RULES), judge(shuffled, RULES)
    assert (first.outcome, first.evidence) == (second.outcome, second.evidence)


def test_simulated_equal_candidates_are_promoted_no_more_often_than_alpha() -> None:
    trials, promoted = 300, 0
    lenient = replace(RULES, floors=(), base_margin=0.9, log_loss_margin=9.0)
    for seed in range(trials):
        promoted += judge(exam(0.8, 0.8, n=80, seed=10 * seed), lenient).outcome == "promote"
    assert promoted <= stats.binom.isf(0.001, trials, RULES.alpha)
