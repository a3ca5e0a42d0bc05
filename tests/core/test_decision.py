from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core import markup, page, wording
from mlops.core.canonical import from_json, to_json
from mlops.core.decision import Check, Decision, Evidence, Metric, Verdict, Version
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

VERDICT = Verdict(
    outcome="promote",
    reasons=("accuracy on 150 recent rows: +2.1 pp",),
    checks=(Check("latency", passed=True, value=0.1, limit=50.0, words="one row takes 0.10 ms"),),
    metrics=(Metric("recent accuracy", 0.9, 0.88, 0.001, 0.04),),
    evidence=Evidence(150, 3, 400, 0, difference=0.021, lower=0.001, upper=0.04),
    missing_labels=0,
)
DECISION = Decision(
    id="0123456789ab", project="digits", at_s=1767614400.0, actor="mlops promote", reason="drift",
    incident="inc-1", candidate=Version("2", "d" * 64, "run"), champion=Version("1", "e" * 64, "r"),
    data_digest="a" * 64, params_digest="b" * 64, commit="c" * 40, verdict=VERDICT,
)  # fmt: skip


STUCK = Check("base accuracy", passed=None, value=-0.04, limit=-0.03, words="open", labels=None)


def with_outcome(outcome: Any, **change: Any) -> Decision:
    return replace(DECISION, verdict=replace(VERDICT, outcome=outcome, **change))


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("drift: contrast", "trained for drift: contrast"),
        ("schedule", "trained for schedule"),
        ("manual", "trained because a person asked"),
        ("by hand", "trained because a person asked"),
        ("first model", "trained because a person asked: first model"),
        ("", "trained for no stated reason"),
    ],
)
def test_why_a_version_was_trained_is_said_in_words(reason: str, said: str) -> None:
    assert wording.trained(reason) == said
    assert said in wording.changed(replace(DECISION, reason=reason))


def test_json_is_canonical_and_comes_back_equal() -> None:
    text = to_json(DECISION)
    assert from_json(Decision, text) == DECISION
    assert to_json(from_json(Decision, text)) == text
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert from_json(Decision, to_json(replace(DECISION, champion=None))).champion is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("actor"), "keys missing or unknown: actor"),
        (lambda d: d.update(extra=1), "keys missing or unknown: extra"),
        (lambda d: d.update(at_s="now"), "at_s = 'now': expected float"),
        (lambda d: d.update(id=7), "id = '7': expected str"),
        (lambda d: d["verdict"].update(outcome="maybe"), "outcome = 'maybe': expected one of"),
        (lambda d: d["verdict"].update(missing_labels=1.5), "expected int"),
        (lambda d: d["verdict"]["checks"][0].update(passed="yes"), "expected bool"),
        (lambda d: d.update(verdict=None), "Decision.verdict"),
        (lambda d: d["verdict"].update(checks={}), "checks"),
    ],
)
def test_json_that_is_not_exactly_a_decision_is_refused_by_key(
    change: Callable[[dict[str, Any]], object], words: str
) -> None:
    content = json.loads(to_json(DECISION))
    change(content)
    with pytest.raises(DataError, match=words):
        from_json(Decision, json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "{", "NaN", '{"at_s": NaN}', "null"])
def test_text_that_is_no_decision_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        from_json(Decision, text)


def test_a_number_that_is_none_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_json(replace(DECISION, at_s=float("nan")))


@pytest.mark.parametrize(
    ("decision", "headline"),
    [
        (DECISION, "▲ +2.1 pp acc · drift · PASS"),
        (with_outcome("reject", evidence=Evidence(1, 0, 1, 0, difference=-0.1)),
         "▼ −10.0 pp acc · drift · FAIL"),
        (with_outcome("inconclusive", evidence=Evidence(1, 0, 1, 0, difference=0.0)),
         "◆ +0.0 pp acc · drift · MORE"),
        (with_outcome("reject", evidence=Evidence(0, 0, 0, 0)), "◆ not compared · drift · FAIL"),
        (replace(DECISION, reason="<b>my_drift</b>|[x]: more"),
         "▲ +2.1 pp acc · b my · PASS"),
        (replace(with_outcome("promote", evidence=Evidence(0, 0, 9, 0)), champion=None, reason=""),
         "● first model · PASS"),
    ],
)  # fmt: skip
def test_the_headline_puts_sign_and_number_first(decision: Decision, headline: str) -> None:
    assert wording.headline(decision) == headline


@given(st.text(max_size=80), st.floats(-1, 1), st.sampled_from(["promote", "inconclusive"]))
def test_the_headline_fits_the_version_table(reason: str, difference: float, outcome: str) -> None:
    evidence = Evidence(1, 0, 1, 0, difference=difference)
    decision = replace(with_outcome(outcome, evidence=evidence), reason=reason)
    assert len(wording.headline(decision)) <= wording.HEADLINE_CHARACTERS


def test_every_surface_says_the_same_sentences() -> None:
    text, shown = "\n".join(wording.lines(DECISION)), page.page(DECISION, page.Surroundings())
    for question, answer in wording.questions(DECISION):
        assert f"{question}:" in text
        assert answer in text
        assert markup.plain(answer) in shown
    assert shown.splitlines()[0] == wording.headline(DECISION)
    assert "mlops rollback --to 1" in shown
    assert wording.done(DECISION) in wording.summary(DECISION)


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (DECISION, "nothing"),
        (with_outcome("reject"), "look at the reasons"),
        (with_outcome("inconclusive", missing_labels=42), "label 42 more predictions"),
        (with_outcome("inconclusive"), "would have shown a gain"),
        (
            with_outcome("inconclusive", checks=(STUCK,)),
            "train again: no number of labels is known",
        ),
        (
            with_outcome("inconclusive", checks=(STUCK,), missing_labels=42),
            "judges again, but no number of labels is known to settle base accuracy",
        ),
    ],
)
def test_what_you_must_do_depends_on_the_outcome(decision: Decision, words: str) -> None:
    assert words in wording.must_do(decision)


def test_a_record_from_before_there_were_approvals_is_read_as_one_that_asked_nobody() -> None:
    content = json.loads(to_json(DECISION))
    assert content.pop("approval") == "auto"
    assert from_json(Decision, json.dumps(content)) == DECISION
    content["approval"] = "perhaps"
    with pytest.raises(DataError, match="approval = 'perhaps'"):
        from_json(Decision, json.dumps(content))


@pytest.mark.parametrize(
    ("approval", "in_service", "headline", "done", "must_do", "undo"),
    [
        ("auto", "2", "PASS", "it is the champion", "nothing", "mlops rollback --to 1"),
        ("pending", "1", "REVIEW", "waits for approval; version 1 stays", "mlops approve 2",
         "nothing moves before a person approves"),
        ("approved", "2", "PASS", "as a person approved: it is the champion", "nothing",
         "mlops rollback --to 1"),
        ("declined", "1", "DECLINED", "a person declined it; version 1 stays", "nothing",
         "mlops promote --again"),
    ],
)  # fmt: skip
def test_what_is_said_while_a_person_is_asked_and_after(
    *, approval: Any, in_service: str, headline: str, done: str, must_do: str, undo: str
) -> None:
    decision = replace(DECISION, approval=approval)
    assert decision.in_service == in_service
    assert wording.headline(decision).endswith(headline)
    assert len(wording.headline(decision)) <= wording.HEADLINE_CHARACTERS
    assert done in wording.done(decision)
    assert must_do in wording.must_do(decision)
    assert undo in wording.undo(decision)


def test_who_is_in_service_afterwards() -> None:
    assert DECISION.in_service == "2"
    assert with_outcome("reject").in_service == "1"
    assert replace(with_outcome("reject"), champion=None).in_service is None
    assert "nothing is in service" in wording.done(replace(with_outcome("reject"), champion=None))


@pytest.mark.parametrize(
    ("words", "room", "kept"),
    [
        ("drift", 8, "drift"), ("first model", 9, "first"), ("first model", 11, "first model"),
        ("retraining", 6, "retrai"), ("by schedule", 3, "by"), ("drift", 0, ""), ("drift", -4, ""),
    ],
)  # fmt: skip
def test_a_reason_is_cut_at_a_word(words: str, room: int, kept: str) -> None:
    assert wording.fitting(words, room) == kept
