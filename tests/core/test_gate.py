from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlops.core.canonical import from_json, to_json
from mlops.core.decision import Check, Verdict
from mlops.core.exam import Anchor, Cohort, Exam, Look, Memory, Paired, Trial
from mlops.core.gate import judge
from mlops.core.noninferiority import NAMED
from mlops.core.rules import Limits, Rules, level

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RULES = Rules(
    margin=0.0, alpha=0.05, power=0.8, effect=0.03, min_rows=60, min_coverage=0.9,
    anchor_margin=0.05, non_inferiority=(("base_accuracy", 0.05), ("log_loss", 0.1)),
    floors=(("accuracy", 0.7), ("balanced_accuracy", 0.65), ("recent_roc_auc", 0.6),
            ("roc_auc", 0.8)),
    ceilings=(("ece", 0.2), ("group_gap", 0.2), ("latency_ms", 50.0), ("memory_mb", 500.0),
              ("size_mb", 50.0)),
    slices=(), protected=(), required_slices=(), min_slice_rows=20, resamples=500, seed=7,
    gap_s=1.0, block_s=0.0,
)  # fmt: skip


def _only(*margins: tuple[str, float]) -> Rules:
    return replace(RULES, non_inferiority=margins)


CLASSES = ("a", "b", "c")
TRAINED_S, NOW_S = 1000.0, 5000.0
TRIAL = Trial(latency_ms=1.0, memory_mb=80.0, size_mb=2.0, worst_difference=1e-7)
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
        trial=TRIAL,
        cohort=Cohort(1000, 950, NOW_S),
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
    # At the level that the next look at these rows has: 0.05 / (2 · 3).
    z = stats.norm.isf(0.05 / 6) + stats.norm.ppf(0.8)
    assert verdict.evidence.discordance is not None
    needed = np.ceil(z**2 * verdict.evidence.discordance / 0.03**2)
    assert verdict.missing_labels == int(needed) - 100


def test_a_guardrail_that_is_open_says_how_many_labels_it_wants() -> None:
    """The primary metric is shown; the candidate is less sure, and may lose much log loss."""
    given_exam = exam(champion=0.85)
    rng = np.random.default_rng(5)
    unsure = answers(given_exam.recent.label, 0.97, rng, sure=0.42)
    given_exam = replace(given_exam, recent=replace(given_exam.recent, candidate=unsure))
    verdict = judge(given_exam, _only(("log_loss", 0.3)))
    [main] = [c for c in verdict.checks if c.name == "recent accuracy"]
    [loss] = [c for c in verdict.checks if c.name == "recent log loss"]
    assert (main.passed, main.labels) == (True, 0)
    assert (verdict.outcome, loss.passed) == ("inconclusive", None), verdict.reasons
    assert loss.labels == verdict.missing_labels > 0
    assert verdict.reasons == (loss.words,)
    assert f"about {loss.labels} more labels would settle it" in loss.words


def test_no_label_settles_what_base_rows_leave_open() -> None:
    given_exam = replace(exam(), base=paired(400, 0.9, 0.92, 1, 100_000))
    verdict = judge(given_exam, _only(("base_accuracy", 0.03)))
    [base] = [c for c in verdict.checks if c.name == "base accuracy"]
    assert (verdict.outcome, base.passed, base.labels) == ("inconclusive", None, None)
    assert verdict.missing_labels == 0
    assert "no number of labels settles it: base test rows do not become more" in base.words


def test_too_few_recent_rows_are_said_not_replaced_by_base_rows() -> None:
    verdict = judge(exam(n=40), RULES)
    assert (verdict.outcome, verdict.missing_labels) == ("inconclusive", 20)
    assert "20 are missing" in verdict.reasons[0]


def test_a_margin_promotes_an_equal_candidate_and_not_a_worse_one() -> None:
    rules = replace(RULES, margin=0.1)
    equal = exam(candidate=0.9, champion=0.9, n=1500)
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


def _tried(given_exam: Exam, **changed: float) -> Exam:
    return replace(given_exam, trial=replace(TRIAL, **changed))


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
    "not tried": (lambda e: replace(e, trial=None), "not tried in the real server"),
    "NaN latency": (lambda e: _tried(e, latency_ms=float("nan")), "latency"),
    "slow": (lambda e: _tried(e, latency_ms=51.0), "one request of one row takes"),
    "fat": (lambda e: _tried(e, memory_mb=501.0), "worker holds"),
    "large": (lambda e: _tried(e, size_mb=51.0), "files have"),
    "other answers when served": (lambda e: _tried(e, worst_difference=0.1), "differ by 0.1"),
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
    assert {c.name for c in verdict.checks} >= {
        "floor accuracy",
        "base constant",
        "latency",
        "memory",
        "size",
    }
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
    verdict = judge(replace(given_exam, recent=rows), _only(("log_loss", 9.0)))
    check = next(c for c in verdict.checks if c.name == "slices")
    assert check.passed is False
    assert "class c" in check.words
    assert "too few rows to assess: class b" in check.words
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
    shuffled = replace(given_exam, recent=given_exam.recent.take(order))
    first, second = judge(given_exam, RULES), judge(shuffled, RULES)
    assert (first.outcome, first.evidence) == (second.outcome, second.evidence)


def test_simulated_equal_candidates_are_promoted_no_more_often_than_alpha() -> None:
    trials, promoted = 300, 0
    lenient = replace(_only(("base_accuracy", 0.9), ("log_loss", 9.0)), floors=())
    for seed in range(trials):
        promoted += judge(exam(0.8, 0.8, n=80, seed=10 * seed), lenient).outcome == "promote"
    assert promoted <= stats.binom.isf(0.001, trials, RULES.alpha)


def test_a_guardrail_on_each_named_metric_holds_and_says_its_worst() -> None:
    names: Limits = (
        ("balanced_accuracy", 0.2), ("base_accuracy", 0.05), ("brier", 0.1), ("f1_macro", 0.2),
        ("log_loss", 0.1), ("robustness", 0.1), ("roc_auc", 0.2),
    )  # fmt: skip
    given_exam = replace(exam(), corrupted=paired(200, 0.8, 0.7, 5, 200_000))
    verdict = judge(given_exam, _only(*names))
    assert verdict.outcome == "promote"
    found = {m.name: m for m in verdict.metrics}
    for name in ("recent brier score", "corrupted accuracy", "recent roc-auc", "recent macro f1"):
        assert found[name].lower is not None
    tight = judge(given_exam, _only(("robustness", 0.01)))
    assert tight.outcome in ("promote", "inconclusive")
    worse = replace(given_exam, corrupted=paired(300, 0.4, 0.9, 5, 200_000))
    assert judge(worse, _only(*names)).outcome == "reject"


@pytest.mark.parametrize("name", ["balanced_accuracy", "f1_macro", "roc_auc", "log_loss"])
def test_models_that_never_differ_on_few_rows_do_not_pass_a_tight_guardrail(name: str) -> None:
    """Nothing was seen to be lost; that is no proof that nothing is."""
    for rows, passed in ((60, None), (3000, True)):
        recent = paired(rows, 0.9, 0.9, 4, 1000)
        alike = replace(exam(), recent=replace(recent, candidate=recent.champion))
        [check] = [
            c for c in judge(alike, replace(_only((name, 0.05)), margin=0.1)).checks
            if c.name == f"recent {NAMED[name].words.lower()}"
        ]  # fmt: skip
        assert check.passed is passed, check.words
        assert passed or (check.labels or 0) > 0


def test_a_class_without_rows_leaves_its_guardrail_open() -> None:
    given = _recent(exam(), lambda r: r.take(r.label != 2))
    verdict = judge(given, replace(_only(("balanced_accuracy", 0.2)), floors=()))
    assert verdict.outcome == "inconclusive"
    assert "at worst unbounded" in verdict.reasons[0]


def test_rows_that_a_guardrail_needs_and_lacks_and_unknown_metrics_refuse() -> None:
    assert "were not scored" in judge(exam(), _only(("robustness", 0.1))).reasons[0]
    assert "no known metric" in judge(exam(), _only(("f7", 0.1))).reasons[0]
    unknown = replace(RULES, ceilings=(("colour", 1.0),))
    assert "no known measure" in judge(exam(), unknown).reasons[0]


def test_each_further_look_at_the_same_rows_has_less_to_spend() -> None:
    assert sum(level(0.05, i) for i in range(1, 10_000)) < 0.05
    looks = (Look(NOW_S - 10, NOW_S, promoted=False), Look(0.0, TRAINED_S, promoted=False))
    fresh, again = judge(exam(), RULES), judge(replace(exam(), looks=looks), RULES)
    assert (fresh.evidence.look, fresh.evidence.level) == (1, 0.025)
    assert again.evidence.look == 2  # the other look was at older rows
    assert again.evidence.level == pytest.approx(0.05 / 6)
    assert again.evidence.lower is not None
    assert fresh.evidence.lower is not None
    assert again.evidence.lower < fresh.evidence.lower
    assert "look 2" in again.checks[0].words


def test_a_promotion_spends_the_rows_that_it_looked_at() -> None:
    times = np.linspace(NOW_S - 100, NOW_S, 300)
    given_exam = _recent(exam(), lambda r: replace(r, observed_s=times))
    spent = replace(given_exam, looks=(Look(NOW_S - 200, NOW_S - 20, promoted=True),))
    verdict = judge(spent, RULES)
    assert verdict.evidence.recent_rows == int((times > NOW_S - 20).sum())
    assert (verdict.evidence.look, verdict.evidence.recent_until_s) == (1, NOW_S)


@pytest.mark.parametrize(
    ("cohort", "outcome", "missing"),
    [
        (Cohort(1000, 900, NOW_S), "promote", 0),
        (Cohort(1000, 899, NOW_S), "inconclusive", 1),
        (Cohort(0, 0, NOW_S), "inconclusive", 0),
        (None, "inconclusive", 0),
    ],
)
def test_rows_of_a_cohort_that_is_hardly_labelled_settle_nothing(
    cohort: Cohort | None, outcome: str, missing: int
) -> None:
    verdict = judge(replace(exam(), cohort=cohort), RULES)
    assert (verdict.outcome, verdict.missing_labels) == (outcome, missing)


def test_rows_whose_labels_may_still_come_do_not_count() -> None:
    verdict = judge(replace(exam(), cohort=Cohort(1000, 1000, NOW_S - 1)), RULES)
    assert (verdict.outcome, verdict.evidence.recent_rows) == ("inconclusive", 0)


def test_small_losses_do_not_add_up_beyond_the_anchors_margin() -> None:
    rules = replace(_only(("log_loss", 9.0)), margin=0.1, min_slice_rows=900)
    given_exam = exam(candidate=0.85, champion=0.86, n=900)
    rng = np.random.default_rng(5)
    best = replace(given_exam.recent, anchor=answers(given_exam.recent.label, 0.99, rng))
    anchored = replace(given_exam, recent=best, anchor=Anchor("1", MEMORY))
    assert judge(given_exam, rules).outcome == "promote"
    verdict = judge(anchored, rules)
    assert verdict.outcome == "reject"
    assert "version 1, the anchor" in verdict.reasons[0]
    unproven = replace(anchored, anchor=Anchor("1", Memory(None, None)))
    assert "anchor was trained on is not recorded" in judge(unproven, rules).reasons[0]


def _columns(rows: Paired, seed: int) -> Paired:
    return replace(rows, columns=np.random.default_rng(seed).random((len(rows.label), 2)))


def with_columns(given_exam: Exam) -> Exam:
    return replace(
        given_exam, columns=("brightness", "contrast"), recent=_columns(given_exam.recent, 3),
        base=_columns(given_exam.base, 4),
    )  # fmt: skip


def test_harm_to_the_dark_images_is_found_declared_or_not() -> None:
    given_exam = with_columns(exam(candidate=1.0, champion=0.8, n=900))
    columns, scores = given_exam.recent.columns, given_exam.recent.candidate
    assert columns is not None
    assert scores is not None
    dark = columns[:, 0] < 0.3
    wrong = np.roll(np.eye(3, dtype=np.float32)[given_exam.recent.label], 1, axis=1)
    harmed = np.where(dark[:, None], wrong * 0.6 + 0.4 / 3, scores).astype(np.float32)
    rows = replace(given_exam.recent, candidate=harmed)
    for slices, words in ((("brightness",), "brightness low"), ((), "brightness ≤ 0.3")):
        verdict = judge(replace(given_exam, recent=rows), replace(RULES, slices=slices))
        check = next(c for c in verdict.checks if c.name == "slices")
        assert (check.passed, verdict.outcome) == (False, "reject")
        assert words in check.words, check.words


def test_classes_are_slices_unless_their_mix_may_move() -> None:
    given_exam = exam(candidate=1.0, champion=0.7, n=900)
    rows, scores = given_exam.recent, given_exam.recent.candidate
    assert scores is not None
    rare = (rows.label == 2)[:, None]
    wrong = np.roll(np.eye(3, dtype=np.float32)[rows.label], 1, axis=1)
    traded = np.where(rare, wrong * 0.6 + 0.4 / 3, scores).astype(np.float32)
    given_exam = replace(given_exam, recent=replace(rows, candidate=traded))
    found = {
        allowed: next(c for c in judge(given_exam, replace(RULES, class_slices=not allowed)).checks
                      if c.name == "slices")
        for allowed in (False, True)
    }  # fmt: skip
    assert not found[False].passed
    assert "class c" in found[False].words
    assert "class c" not in found[True].words


def _says(said: NDArray[np.int64]) -> NDArray[np.float32]:
    return (np.eye(3)[said] * 0.7 + 0.1).astype(np.float32)


@pytest.mark.parametrize(
    ("champion", "candidate", "judged"),
    [  # of every row: what is answered where the label is c, and on how many other rows c is
        pytest.param((1.0, 0.5), (0.6, 0.04), False, id="the mix moved and the candidate follows"),
        pytest.param((1.0, 0.5), (0.2, 0.0), True, id="the candidate neglects the class"),
        pytest.param((1.0, 0.0), (0.6, 0.04), True, id="the champion's answers are as frequent"),
    ],
)
def test_auto_excuses_a_class_that_the_champion_answers_too_often(
    champion: tuple[float, float], candidate: tuple[float, float], judged: bool
) -> None:
    label = np.repeat([0, 1, 2], [450, 360, 90])
    rng = np.random.default_rng(3)

    def answer(right: float, false: float, otherwise: float) -> NDArray[np.float32]:
        said = np.where(rng.random(900) < otherwise, label, (label + 1) % 2)
        said[label < 2] = np.where(rng.random(810) < false, 2, said[label < 2])
        said[label == 2] = np.where(rng.random(90) < right, 2, 0)
        return _says(said)

    given_exam = exam(n=900)
    rows = replace(
        given_exam.recent, label=label, champion=answer(*champion, 0.8),
        candidate=answer(*candidate, 0.99),
    )  # fmt: skip
    given_exam = replace(given_exam, recent=rows)
    words = {}
    for how in (True, "auto", False):
        rules = replace(_only(), class_slices=how)
        [check] = [c for c in judge(given_exam, rules).checks if c.name == "slices"]
        words[how] = (check.passed, check.words)
    assert words[True][0] is False
    assert "class c" in words[True][1]
    assert words["auto"][0] is not judged
    if not judged:
        assert "not assessed, for the champion answers it too often: class c" in words["auto"][1]
    assert words[False][0] is True


def test_a_required_slice_must_be_known_and_large_enough() -> None:
    given_exam = with_columns(exam())
    known = replace(RULES, slices=("contrast",), required_slices=("contrast high", "class a"))
    assert judge(given_exam, known).outcome == "promote"
    few = replace(known, min_slice_rows=105)
    verdict = judge(given_exam, few)
    assert verdict.outcome == "inconclusive"
    assert any("is required and has fewer" in reason for reason in verdict.reasons)
    assert 0 < verdict.missing_labels < 60
    unknown = replace(RULES, slices=("brightnes",))
    assert "'brightnes', which is no column" in judge(given_exam, unknown).reasons[0]
    dark = replace(RULES, slices=("brightness",))
    assert "'brightness', which is no" in judge(exam(), dark).reasons[0]
    nothing = np.full_like(given_exam.recent.columns, np.nan)
    blank = replace(given_exam, recent=replace(given_exam.recent, columns=nothing))
    assert "or has no value" in judge(blank, replace(RULES, slices=("contrast",))).reasons[0]
    odd = replace(RULES, required_slices=("class z",))
    assert "no slice of these rows" in judge(given_exam, odd).reasons[0]


def test_groups_of_a_protected_column_must_not_drift_apart() -> None:
    given_exam = with_columns(exam(candidate=0.95, champion=0.5, n=600))
    fair = replace(RULES, protected=("brightness", "class"))
    assert judge(given_exam, fair).outcome == "promote"
    columns, scores = given_exam.recent.columns, given_exam.recent.candidate
    assert columns is not None
    assert scores is not None
    dark = (columns[:, 0] < 0.33) & (np.random.default_rng(1).random(600) < 0.4)
    unfair = scores.copy()
    unfair[dark] = np.roll(scores[dark], 1, axis=1)
    rows = replace(given_exam.recent, candidate=unfair)
    verdict = judge(replace(given_exam, recent=rows), fair)
    assert verdict.outcome == "reject"
    assert any("brightness low" in reason and "a gap of" in reason for reason in verdict.reasons)
    odd = replace(RULES, protected=("colour",))
    assert "no column of these rows" in judge(given_exam, odd).reasons[0]


def test_rows_without_a_protected_value_are_a_group_that_may_be_treated_worse() -> None:
    given_exam = with_columns(exam(candidate=0.95, champion=0.5, n=900))
    columns, scores = given_exam.recent.columns, given_exam.recent.candidate
    assert columns is not None
    assert scores is not None
    gone = np.random.default_rng(1).random(900) < 0.2
    unfair = scores.copy()
    wronged = gone & (np.random.default_rng(2).random(900) < 0.6)
    unfair[wronged] = np.roll(scores[wronged], 1, axis=1)
    unknown = columns.copy()
    unknown[gone, 0] = np.nan
    rows = replace(given_exam.recent, candidate=unfair, columns=unknown)
    fair = replace(RULES, protected=("brightness",))
    verdict = judge(replace(given_exam, recent=rows), fair)
    [check] = [c for c in verdict.checks if c.name == "fairness brightness"]
    assert (check.passed, verdict.outcome) == (False, "reject")
    assert "on brightness missing" in check.words
    few = np.where(np.cumsum(gone) <= 9, gone, False)
    rows = replace(rows, candidate=scores, columns=np.where(few[:, None], np.nan, columns))
    verdict = judge(replace(given_exam, recent=rows), fair)
    [check] = [c for c in verdict.checks if c.name == "fairness brightness"]
    assert check.passed
    assert "not assessable for want of 20 rows: brightness missing" in check.words


def test_harm_to_rows_without_a_value_is_harm_to_a_slice() -> None:
    given_exam = with_columns(exam(candidate=1.0, champion=0.8, n=900))
    columns, scores = given_exam.recent.columns, given_exam.recent.candidate
    assert columns is not None
    assert scores is not None
    gone = np.random.default_rng(1).random(900) < 0.2
    wrong = np.roll(np.eye(3, dtype=np.float32)[given_exam.recent.label], 1, axis=1)
    harmed = np.where(gone[:, None], wrong * 0.6 + 0.4 / 3, scores).astype(np.float32)
    rows = replace(
        given_exam.recent, candidate=harmed, columns=np.where(gone[:, None], np.nan, columns)
    )
    verdict = judge(replace(given_exam, recent=rows), replace(RULES, slices=("brightness",)))
    [check] = [c for c in verdict.checks if c.name == "slices"]
    assert not check.passed
    assert "brightness missing" in check.words


def test_a_gap_that_the_rows_leave_open_neither_passes_nor_fails() -> None:
    fair = replace(RULES, protected=("brightness",), min_slice_rows=10)
    limits = tuple((n, 0.06 if n == "group_gap" else v) for n, v in RULES.ceilings)
    tight = replace(fair, ceilings=limits)
    few, many = (with_columns(exam(candidate=0.95, champion=0.5, n=n)) for n in (90, 3000))

    def checked(given_exam: Exam, rules: Rules) -> Check:
        [check] = [c for c in judge(given_exam, rules).checks if c.name == "fairness brightness"]
        return check

    assert (checked(few, tight).passed, checked(many, tight).passed) == (None, True)
    assert checked(few, tight).words.endswith("settle it")
    assert judge(few, tight).outcome == "inconclusive"
    unassessed = checked(few, replace(fair, min_slice_rows=31))
    assert unassessed.passed is not False
    assert "not assessable for want of 31 rows" in unassessed.words
    # Rows of one key are worth less: what many rows settle, their copies do not.
    copies = _recent(few, lambda r: r.take(np.repeat(np.arange(90), 30)))
    assert checked(copies, tight).passed is None
    assert checked(copies, tight).value == pytest.approx(checked(few, tight).value, abs=0.02)


def test_rows_close_in_time_count_as_one() -> None:
    times = np.repeat(np.arange(30.0), 10) * 60.0 + NOW_S
    given_exam = _recent(exam(), lambda r: replace(r, observed_s=times))
    given_exam = replace(given_exam, cohort=Cohort(1000, 1000, NOW_S + 10_000))
    alone, blocks = (judge(given_exam, replace(RULES, block_s=s)) for s in (0.0, 60.0))
    assert blocks.evidence.p_value is None
    assert "over keys" in blocks.evidence.method
    assert alone.evidence.method == "Tango's score interval"


@pytest.mark.parametrize("block_s", [0.0, 60.0, 1e9])
@pytest.mark.parametrize("one", ["key", "label", "nothing"])
def test_rows_that_bound_nothing_settle_nothing_and_can_be_recorded(
    block_s: float, one: str
) -> None:
    given_exam = exam()
    rows = given_exam.recent
    if one == "key":
        rows = replace(rows, key=np.full(300, 7000, dtype=np.uint64))
    if one == "label":
        rows = replace(rows, label=np.zeros(300, dtype=np.int64))
    rules = replace(_only(("log_loss", 0.1), ("roc_auc", 0.1)), block_s=block_s)
    verdict = judge(replace(given_exam, recent=rows), rules)
    assert from_json(Verdict, to_json(verdict)) == verdict
    if one != "nothing" or block_s:
        assert verdict.outcome != "promote"


def test_groups_of_a_column_of_names_are_its_names() -> None:
    given_exam = exam(candidate=0.95, champion=0.5, n=600)
    sexes = np.random.default_rng(3).integers(-2, 2, 600).astype(np.float64)
    sexes[sexes == -1] = 0.0
    recent = replace(given_exam.recent, columns=sexes[:, np.newaxis])
    base = replace(given_exam.base, columns=np.zeros((400, 1)))
    named = replace(
        given_exam, recent=recent, base=base, columns=("sex",), categories=(("man", "woman"),)
    )
    scores = given_exam.recent.candidate
    assert scores is not None
    unfair = scores.copy()
    wronged = (sexes == 1) & (np.random.default_rng(1).random(600) < 0.6)
    unfair[wronged] = np.roll(scores[wronged], 1, axis=1)
    verdict = judge(
        replace(named, recent=replace(recent, candidate=unfair)),
        replace(RULES, protected=("sex",), slices=("sex",)),
    )
    said = " ".join(verdict.reasons)
    assert verdict.outcome == "reject"
    assert "accuracy on sex woman" in said
    assert "sex low" not in said
    fair = judge(named, replace(RULES, protected=("sex",), slices=("sex",)))
    assert fair.outcome == "promote"
    [gap] = [c for c in fair.checks if c.name == "fairness sex"]
    assert {"woman", "man", "missing"} >= {w.rstrip(",") for w in gap.words.split()[3:4]}
