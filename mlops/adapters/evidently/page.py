"""The page of a window: our verdict in words, then what Evidently finds in the same rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops.adapters.evidently import words
from mlops.adapters.evidently.drift import drift, sample
from mlops.adapters.evidently.performance import Labelled, performance
from mlops.adapters.evidently.quality import Quality, quality
from mlops.adapters.evidently.run import write_page
from mlops.adapters.files import write_json

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from mlops.adapters.evidently.run import Part
    from mlops.adapters.two_baselines import Beside
    from mlops.adapters.window import Window
    from mlops.core.columns import Columns

NAMES = ("report.html", "report.json", "page.json")
"""Files of a page; the last one is ours alone, and says what it shows."""


@dataclass(frozen=True)
class Material:
    """What a page is made of.

    Attributes:
        window: with its verdict, and what its labels say.
        made: when, UTC.
        reference: of the version that predicted; None where no column was judged.
        rows: the window's sound rows; None likewise.
        beside: the window against the fixed reference; None for nothing of it.
        quality: its rows as they came; None where they are not kept.
        labelled: its labelled predictions that measure; None without.
        labelled_reference: those of its version's reference.
    """

    window: Window
    made: datetime
    reference: Columns | None = None
    rows: Columns | None = None
    beside: Beside | None = None
    quality: Quality | None = None
    labelled: Labelled | None = None
    labelled_reference: Labelled | None = None


def make_page(told: Material, folder: Path) -> None:
    """Write `report.html`, `report.json` and `page.json` of a window.

    Args:
        told: what it is made of.
        folder: the window's folder.

    Raises:
        MonitorError: if a number of Evidently's is another than the verdict's: page and trigger
            must be the same thing. Nothing is written then.
    """
    parts: list[Part] = []
    window, above = told.window, [words.head(told.window, told.made)]
    if told.reference is not None and told.rows is not None:
        parts.append(drift(told.reference, told.rows, window.verdict, window.id))
        above.append(_sampled(told.window, told.reference, told.rows))
        above.append(words.together(window.verdict))
    above.append(words.answers(window, told.labelled, told.labelled_reference))
    if told.quality is not None:
        above.append(words.held(told.quality))
        if len(told.quality.sent.shown):
            parts.append(quality(told.quality, window.id))
    if told.labelled is not None and told.labelled_reference is not None:
        counted = (window.labelled, window.correct)
        parts.append(performance(told.labelled, told.labelled_reference, counted, window.id))
    if told.beside is not None:
        _hold_beside(told.beside, told.rows, window.id)
        above.append(told.beside.section(window.verdict))
    write_page(folder, "".join(above), parts)
    write_json(folder / NAMES[-1], {
        "made_s": told.made.timestamp(), "labelled": window.labelled, "correct": window.correct,
    })  # fmt: skip


def make_failure(window: Window, why: str, made: datetime, folder: Path) -> None:
    """Write a page that says why there is none: a link to it shall not be dead, nor lie."""
    write_page(folder, words.failure(window, why, made), ())


def _sampled(window: Window, reference: Columns, rows: Columns) -> str:
    return words.sampled(
        window.verdict, len(sample(rows)), len(rows), (len(sample(reference)), len(reference))
    )


def _hold_beside(beside: Beside, rows: Columns | None, name: str) -> None:
    """Let Evidently compute the distances from the fixed reference once more."""
    if beside.reference is None or rows is None:
        return
    seen = replace(
        rows, names=beside.reference.names, named=beside.reference.named,
        values=rows.values[:, [rows.names.index(n) for n in beside.reference.names]],
    )  # fmt: skip
    drift(beside.reference, seen, beside.verdict, f"{name} against the fixed reference")
