from __future__ import annotations

from mlops.core.fit import Section, fitted

LONG, SHORT = "x" * 100, "y" * 10
SECTIONS = (
    Section("first", (LONG, SHORT), 1),
    Section("second", (LONG, SHORT, ""), 0),
    Section("third", (SHORT,), 2),
)


def test_with_room_every_section_is_full_and_in_its_order() -> None:
    text = fitted("lead", SECTIONS, 1000)
    assert text.count(LONG) == 2
    assert text.startswith("lead\n\n---\n\n## first\n\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## first", "## second", "## third",
    ]  # fmt: skip


def test_what_yields_first_shrinks_first() -> None:
    full = len(fitted("lead", SECTIONS, 1000))
    one = fitted("lead", SECTIONS, full - 1)
    assert one.index(LONG) < one.index("## second") < one.index(SHORT)
    two = fitted("lead", SECTIONS, len(one) - 1)
    assert LONG not in two
    assert "## second" in two
    three = fitted("lead", SECTIONS, len(two) - 1)
    assert "## second" not in three
    assert "## third" in three


def test_at_the_last_sections_fall_from_the_end_and_the_lead_stays() -> None:
    text = fitted("lead", SECTIONS, 40)
    assert "## third" not in text
    assert text.startswith("lead")
    assert fitted("lead", SECTIONS, 5) == "lead\n"
    assert fitted("lead", (), 2) == "le"
