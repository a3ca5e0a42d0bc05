"""Sections that give way to one another until a page fits its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading.
        forms: its content as Markdown, the fullest first and each next one shorter; an empty one
            leaves the section out.
        yields: how soon it takes its next form when room is wanted; 0 is the first to do so.
    """

    title: str
    forms: tuple[str, ...]
    yields: int


def fitted(lead: str, sections: Sequence[Section], most: int) -> str:
    """Return a page of at most so many characters, each section as full as there is room for.

    Args:
        lead: what stands above the sections, and always stays.
        sections: in the order of the page.
        most: characters.
    """
    taken = [0] * len(sections)
    early = sorted(range(len(sections)), key=lambda i: sections[i].yields)
    for depth in range(1, max((len(s.forms) for s in sections), default=1)):
        for i in early:
            if len(text := _written(lead, sections, taken)) <= most:
                return text
            taken[i] = min(depth, len(sections[i].forms) - 1)
    kept = list(sections)
    while len(text := _written(lead, kept, taken)) > most and kept:
        kept.pop()
    return text[:most]


def _written(lead: str, sections: Sequence[Section], taken: Sequence[int]) -> str:
    """Join the sections; in MLflow a heading would stick to the table before it but for a rule."""
    shown = [(s.title, s.forms[form]) for s, form in zip(sections, taken, strict=False)]
    parts = [f"---\n\n## {title}\n\n{content}" for title, content in shown if content]
    return "\n\n".join([lead, *parts]) + "\n"
