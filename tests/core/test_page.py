from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core import page, wording
from mlops.core.decision import Check, Metric
from mlops.core.page import Link, Surroundings
from tests.core.test_card import CARD
from tests.core.test_decision import DECISION, VERDICT, with_outcome

PLOT = Link("Confusion", "get-artifact?path=plots/confusion.png&run_id=r")
RUN = Link("The run", "#/experiments/1/runs/r")
AROUND = Surroundings(CARD, (PLOT,), (RUN,))


def sections(text: str) -> list[str]:
    return [line[3:] for line in text.splitlines() if line.startswith("## ")]


def test_a_page_has_everything_that_a_reviewer_asks_for() -> None:
    text = page.page(DECISION, AROUND)
    assert text.splitlines()[0] == wording.headline(DECISION)
    assert sections(text) == [
        "✓ promote", "Champion against candidate", "How good it is", "Worst slices",
        "In the real server", "What the gate looked at", "Limits", "Where it comes from",
        "Commands", "Pictures",
    ]  # fmt: skip
    for command in ("rollback", "why 2", f"replay {DECISION.id}"):
        assert f"`mlops {command}`" in text
    for digest in ("a" * 12, "b" * 12, "c" * 12, "d" * 12, "0123.dir"):
        assert f"`{digest}`" in text
    assert "Trained for drift, incident inc-1" in text
    assert "![Confusion](get-artifact?path=plots/confusion.png&run_id=r)" in text
    assert "[The run](#/experiments/1/runs/r)" in text


@pytest.mark.parametrize(
    ("outcome", "title"),
    [("promote", "✓ promote"), ("reject", "✗ reject"), ("inconclusive", "? inconclusive")],
)
def test_the_verdict_is_the_first_title(outcome: str, title: str) -> None:
    assert sections(page.page(with_outcome(outcome), Surroundings()))[0] == title


def test_a_version_whose_files_cannot_be_read_has_a_page_without_what_they_hold() -> None:
    found = sections(page.page(DECISION, Surroundings()))
    assert found == [
        "✓ promote", "Champion against candidate", "In the real server",
        "What the gate looked at", "Where it comes from", "Commands",
    ]  # fmt: skip


def test_the_comparison_has_a_row_per_metric() -> None:
    alone = Metric("base roc auc", 0.99)
    worse = Metric("base accuracy", 0.9, 0.91, -0.02, 0.01)
    decision = with_outcome("promote", metrics=(*VERDICT.metrics, worse, alone))
    assert [tuple(row.values()) for row in page.comparison(decision)] == [
        ("recent accuracy", "0.8800", "0.9000", "0.0200", "0.0010 to 0.0400"),
        ("base accuracy", "0.9100", "0.9000", "−0.0100", "−0.0200 to 0.0100"),
        ("base roc auc", "–", "0.9900", "–", "–"),
    ]
    assert list(page.comparison(decision)[0]) == [
        "metric", "champion", "candidate", "difference", "interval",
    ]  # fmt: skip
    shown = page.page(decision, Surroundings())
    assert "|recent accuracy&emsp;|0.8800|0.9000|0.0200|" in shown


def test_names_from_outside_cannot_act_as_markup() -> None:
    bad = "<script>|[x](http://y)"
    decision = replace(DECISION, reason=bad, incident="`a`", actor="*me*")
    text = page.page(decision, replace(AROUND, plots=(Link(bad, "p.png"),)))
    body = text.split("\n", 1)[1]
    assert "<script>" not in body
    assert "[x](" not in body.replace(r"\[x\](", "")
    assert r"by \*me\*" in body


def test_a_page_fits_its_place_and_gives_up_first_what_stands_elsewhere() -> None:
    checks = tuple(
        Check(f"check {n}", passed=n != 3, value=None, limit=None, words="x" * 250)
        for n in range(30)
    )
    text = page.page(with_outcome("reject", checks=(*VERDICT.checks, *checks)), AROUND)
    assert len(text) <= page.PAGE_CHARACTERS
    assert sections(text)[1:] == sections(page.page(DECISION, AROUND))[1:]
    assert f"|✗ check 3&emsp;|{'x' * 250}|" in text
    assert "✓ latency, check 0, check 1, check 2, check 4" in text


@given(st.text(), st.text(max_size=9000), st.integers(0, 60))
def test_no_decision_is_too_long_for_the_page(reason: str, words: str, count: int) -> None:
    checks = tuple(Check(words, passed=None, value=None, limit=None, words=words)
                   for _ in range(count))  # fmt: skip
    decision = replace(with_outcome("reject", checks=checks, reasons=(words,)), reason=reason)
    text = page.page(decision, AROUND)
    assert len(text) <= page.PAGE_CHARACTERS
    assert text.startswith(f"{wording.headline(decision)}\n")


def test_a_version_that_is_not_judged_yet_says_how_to_judge_it() -> None:
    text = page.undecided("drift: contrast", CARD)
    assert text.splitlines()[0] == "◇ not judged yet · drift"
    assert "`mlops promote`" in text
    assert sections(text) == ["How good it is", "Worst slices", "Limits"]
    long = page.undecided("a very long reason with [markup]", CARD)
    assert len(long.splitlines()[0]) <= wording.HEADLINE_CHARACTERS


def test_the_models_own_page_says_what_it_is_for() -> None:
    assert page.front(CARD).startswith("Reading digits\n")
    assert "not stated" in page.front(replace(CARD, intended_use=""))


def test_elsewhere_pictures_and_links_have_their_whole_address() -> None:
    text = page.anchored(page.page(DECISION, AROUND), "http://mlflow:5000/")
    assert "](http://mlflow:5000/get-artifact?path=plots/confusion.png&run_id=r)" in text
    assert "](http://mlflow:5000/#/experiments/1/runs/r)" in text


def test_a_yes_is_asked_for_only_where_one_is_waited_for() -> None:
    asking = replace(DECISION, approval="pending")
    for command in ("mlops approve 2", "mlops reject 2"):
        assert f"`{command}`" in page.page(asking, Surroundings())
        assert f"`{command}`" not in page.page(DECISION, Surroundings())


def test_the_page_says_what_the_candidate_cost_in_the_real_server() -> None:
    [latency] = [c for c in DECISION.verdict.checks if c.name == "latency"]
    text = page.page(DECISION, Surroundings())
    assert f"## In the real server\n\n{latency.words[:1].upper()}{latency.words[1:]}" in text
    untried = replace(DECISION, verdict=replace(DECISION.verdict, checks=()))
    assert "In the real server" not in page.page(untried, Surroundings())
