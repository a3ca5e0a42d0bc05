from __future__ import annotations

from dataclasses import replace

from mlops.core import card, card_text
from mlops.core.canonical import from_json, to_json
from mlops.core.card import Card, RowCount, Score, SliceScore

CARD = Card(
    project="digits", intended_use="Reading digits", licence="Apache-2.0",
    stated_limits=("Not for cheques",), source="digits", snapshot="0123.dir",
    network="mlops.core.networks.SmallCNN", classes=("0", "<b>1</b>"), shape=(8, 8, 1),
    trained_until_s=1767614400.0,
    rows=(RowCount("train", 700), RowCount("test", 200), RowCount("recent", 60),
          RowCount("reference", 200)),
    confidence=0.95,
    scores=(Score("accuracy", 0.97, 0.95, 0.98), Score("recent_accuracy", 0.9, 0.82, 0.95),
            Score("roc_auc", 0.99, 0.98, 1.0)),
    slices=(
        SliceScore("test", "all", "all", 200, 0.97, 0.93, 0.99),
        SliceScore("test", "class", "0", 100, 0.99, 0.95, 1.0),
        SliceScore("test", "class", "<b>1</b>", 100, 0.95, 0.89, 0.98),
        SliceScore("recent", "class", "0", 4, None, None, None),
        SliceScore("test", "origin", "production", 0, None, None, None),
    ),
    measured=("robustness",),
)  # fmt: skip


def test_a_card_comes_back_equal() -> None:
    assert from_json(Card, to_json(CARD)) == CARD


def test_the_card_says_all_that_a_model_card_must() -> None:
    text = card_text.markdown(CARD)
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "Intended use", "Data", "Model", "Metrics", "Slices", "Limits", "Licence",
    ]  # fmt: skip
    for words in (
        "Reading digits", "Apache-2.0", "`0123.dir`", "SmallCNN", "700 train",
        "fitted on rows up to 2026-01-05 12:00 UTC", "0.9700 (0.9500 to 0.9800)",
    ):  # fmt: skip
        assert words in text
    assert "<b>" not in text


def test_the_card_names_the_column_that_is_predicted() -> None:
    priced = replace(CARD, classes=(), kind="table", target="median_<b>value", columns=("rooms",))
    text = card_text.markdown(priced)
    assert "- Target: median" in text
    assert "Predicts median" in text
    assert "<b>" not in text
    assert "Target" not in card_text.markdown(CARD)


def test_metrics_are_those_of_the_test_rows_whatever_an_old_card_holds() -> None:
    rows = card_text.score_table(CARD).splitlines()
    assert rows[0] == "|metric|200 test rows (95 % interval)|"
    assert rows[2] == "|accuracy|0.9700 (0.9500 to 0.9800)|"
    assert len(rows) == 4
    odd = replace(CARD, scores=(*CARD.scores, Score("top_2", 1.0, 0.9, 1.0)))
    assert "|top 2|" in card_text.score_table(odd)
    assert "|top 2|" not in card_text.score_table(odd, main=True)


def test_the_limits_begin_with_what_people_stated_and_follow_from_what_was_done() -> None:
    said = card_text.limits(CARD)
    assert said[0] == "Not for cheques"
    text = "\n".join(said)
    assert "8 × 8 × 1" in text
    assert "2 classes (0, &lt;b&gt;1&lt;/b&gt;)" in text
    assert "Measured on 200 test rows;" in text
    assert "the gate's to say" in text
    assert "200 held-out rows" in text
    assert "robustness" not in text
    assert "fairness" in text


def test_only_a_slice_that_no_rows_assess_is_not_assessed() -> None:
    text = "\n".join(card_text.limits(CARD))
    assert "Not assessed for want of rows: origin production (n = 0)." in text


def test_without_production_rows_the_card_says_what_nobody_knows() -> None:
    bare = replace(CARD, rows=(RowCount("test", 200),))
    assert "Nothing is known of how it does in production" in "\n".join(card_text.limits(bare))


def test_what_nobody_stated_is_said_to_be_missing() -> None:
    bare = replace(CARD, intended_use="", licence="", snapshot="", trained_until_s=None)
    text = card_text.markdown(bare)
    assert text.count(card_text.NOT_STATED) == 2
    assert "not tracked" in text
    assert "no row has a time" in text


def test_the_worst_slices_are_those_whose_interval_reaches_lowest() -> None:
    assert [s.value for s in card.worst_slices(CARD)] == ["<b>1</b>", "0"]
    assert len(card.worst_slices(CARD, most=1)) == 1


def test_errors_in_large_units_are_numbers_that_can_be_read() -> None:
    regression = replace(
        CARD, classes=(), kind="table", columns=("a",),
        scores=(Score("mae", 34015.3567, 32793.9, 35380.1), Score("r2", 0.80138, 0.78, 0.82),
                Score("width", 155915.1, 153586.7, 158415.2)),
        slices=(SliceScore("test", "all", "all", 200, 34015.3567, 32793.9, 35380.1),),
    )  # fmt: skip
    text = card_text.markdown(regression)
    assert "|mean absolute error|34,015 (32,794 to 35,380)|" in text
    assert "|R²|0.8014 (0.7800 to 0.8200)|" in text
    assert "|width of the 90 % interval|155,915" in text
    assert "|all|test|200|34,015|32,794 to 35,380|" in text


def test_found_slices_stand_in_the_card_however_many_others_there_are() -> None:
    many = tuple(SliceScore("test", "town", f"t{n}", 50, 0.9, 0.8, 0.95) for n in range(90))
    conditions = (
        "age > 33.5 and education: Doctorate or Prof-school and marital-status: not Divorced"
    )
    found = SliceScore("test", "found", conditions, 60, 0.6, 0.5, 0.7)
    text = card_text.markdown(replace(CARD, slices=(*CARD.slices, *many, found)))
    assert "found age &gt; 33.5 and education: Doctorate" in text
    assert "not Divorced|test|60|60.0 %" in text
    assert "town t50" in text
    assert "town t80" not in text
