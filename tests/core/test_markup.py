from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core import markup


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("drift: contrast", "drift: contrast"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("a|b`c*d_e", r"a\|b\`c\*d\_e"),
        ("[x](http://y)", r"\[x\](http&#58;//y)"),
        (":smile: @all", r"&#58;smile: \@all"),
        ("# one\n- two\r\n\tthree", r"\# one - two three"),
        ("", ""),
    ],
)
def test_text_stays_text(text: str, shown: str) -> None:
    assert markup.plain(text) == shown


@given(st.text())
def test_no_text_opens_a_tag_a_cell_or_a_line(text: str) -> None:
    shown = markup.plain(text)
    assert not set(shown) & set("<>\n\r")
    for character in "|`[]*":
        assert shown.count(character) == shown.count(f"\\{character}")


@given(st.text())
def test_code_ends_where_it_is_meant_to(text: str) -> None:
    shown = markup.code(text)
    assert shown.count("`") == 2
    assert "\n" not in shown


def test_a_table_has_a_head_a_rule_and_rows_of_its_width() -> None:
    lines = markup.table(("a", "b"), [("1", "2"), ("3", "4")]).splitlines()
    assert lines == ["|a|b|", "|---|---|", "|1|2|", "|3|4|"]
    assert markup.table(("a", "b"), []) == ""


def test_only_the_widest_cells_hold_the_next_column_off() -> None:
    lines = markup.table(("name", "b"), [("x", "2"), ("longest", "4")], "_").splitlines()
    assert lines == ["|name|b|", "|---|---|", "|x|2|", "|longest_|4|"]


def test_long_text_ends_in_an_ellipsis() -> None:
    assert markup.plain("*" * 9, 3) == r"\*\*…"


@pytest.mark.parametrize(
    ("value", "number", "share"),
    [(0.5, "0.5000", "50.0 %"), (-0.25, "−0.2500", "−25.0 %"), (None, "–", "–")],
)
def test_figures(value: float | None, number: str, share: str) -> None:
    assert markup.figure(value) == number
    assert markup.percent(value) == share
