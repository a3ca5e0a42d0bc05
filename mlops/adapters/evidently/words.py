"""What stands above Evidently's part of a window's page: our verdict, in our words."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from mlops.core.amounts import number
from mlops.core.drift import HOTELLING
from mlops.core.estimate import basis
from mlops.core.schema import TableSchema
from mlops.core.sent import PAGE_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlops.adapters.evidently.performance import Labelled
    from mlops.adapters.evidently.quality import Quality
    from mlops.adapters.window import Window
    from mlops.core.alarm import Verdict
    from mlops.core.estimate import Estimate

STYLE = (  # colours of its own: Evidently's page turns dark where the reader's machine is
    "font:14px/1.5 sans-serif;max-width:1100px;margin:24px auto;padding:1px 24px;"
    "color:#111;background:#fff"
)
_WIDE = "overflow-x:auto"  # a table on a phone scrolls by itself, not the page


def section(title: str, *parts: str) -> str:
    """Return a section of the page, as HTML.

    Args:
        title: plain text.
        parts: HTML.
    """
    head = f'<h2 style="font-size:18px">{escape(title)}</h2>'
    return f'<section style="{STYLE}">{head}{"".join(parts)}</section>'


def paragraph(text: str) -> str:
    """Return plain text as HTML."""
    return f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML.

    Args:
        head: plain text.
        rows: cells, HTML.
    """
    top = "".join(f'<th align="left">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in cells)}</tr>" for cells in rows)
    inner = f'<table cellpadding="6"><tr>{top}</tr>{body}</table>'
    return f'<div style="{_WIDE}">{inner}</div>'


def head(window: Window, made: datetime) -> str:
    """Return the section that says which window this is, and what its verdict is."""
    cut, verdict = window.cut, window.verdict
    over = ", ".join(c.column for c in verdict.drifted)
    said = "no alarm" if not verdict.alarm else f"ALARM, severity {verdict.severity} of 5"
    if verdict.breaks:
        said += "; data is broken, so drift is not judged"
    elif over:
        said += f"; over the threshold: {over}"
    lines = [
        paragraph(f"Version {cut.version}, {cut.rows:,} rows, {_time(cut.start_s)} to "
                  f"{_time(cut.end_s)}. This page was made {made:%Y-%m-%d %H:%M} UTC."),
        f"<p><strong>{escape(said[0].upper() + said[1:])}.</strong></p>",
    ]  # fmt: skip
    if window.unwatched:
        lines.append(paragraph(f"{window.unwatched}."))
    if verdict.breaks:
        items = "".join(f"<li>{escape(text)}</li>" for text in verdict.breaks)
        lines.append(f"<ul>{items}</ul>")
    if not verdict.columns:
        lines.append(
            paragraph("Hardly a row was sound or known, so no column was compared with the "
                      "reference, and there is no picture of any.")
        )  # fmt: skip
    return section(f"Window {window.id}", *lines)


def sampled(verdict: Verdict, shown: int, rows: int, of_reference: tuple[int, int]) -> str:
    """Return the section that says what Evidently's part is made of; empty if of all rows.

    Args:
        verdict: of all rows.
        shown: rows of the window that Evidently was given.
        rows: sound rows of the window.
        of_reference: likewise, of the reference.
    """
    if shown == rows and of_reference[0] == of_reference[1]:
        return ""
    note = (
        f"Evidently's part of this page is made of a sample, evenly spread: {shown:,} of {rows:,} "
        f"rows of the window, {of_reference[0]:,} of {of_reference[1]:,} of the reference "
        f"({PAGE_ROWS:,} of each at most). Its distances are those of the sample, and ours of the "
        "same rows were the same; the verdict is of all rows, and its numbers are these:"
    )
    cells = [
        (escape(c.column), c.method, _bold(f"{c.value:.6g}", c.drifted), f"{c.threshold:.6g}")
        for c in verdict.columns
    ]
    return section(
        "A sample", paragraph(note), table(("column", "distance", "all rows", "threshold"), cells)
    )


def together(verdict: Verdict) -> str:
    """Return the section that says how far an embedding moved as one; empty without one."""
    lines = [
        f"All columns of the embedding together: {c.value:.6g} standard deviations from the "
        f"reference in the direction that tells them apart best (the root of Hotelling's T²); the "
        f"threshold is {c.threshold:.6g}. Evidently has no such test: its count of drifted columns "
        "is without this one."
        for c in verdict.columns if c.method == HOTELLING
    ]  # fmt: skip
    return section("The embedding as one", *map(paragraph, lines)) if lines else ""


def held(told: Quality) -> str:
    """Return the section that says what the rows held: of all rows, and of the reference."""
    sent, before = told.sent, told.usual
    counted = (
        f"{sent.wrong_size:,} of {sent.rows:,} rows are not of the model's schema; of the others, "
        f"{sent.contents.blank:,} hold nothing and {sent.unsound:,} have no sound answer."
    )
    lines = [counted]
    if not sent.whole:
        lines.append(
            f"These are counts of all rows; Evidently's below are of {len(sent.shown):,} of them, "
            "evenly spread."
        )
    said = [paragraph(line) for line in lines]
    if not isinstance(told.schema, TableSchema):
        return section("Data quality", *said)
    rows, contents, cells = max(sent.contents.rows, 1), sent.contents, []
    for c, column in enumerate(told.schema.columns):
        missing, unknown, beyond = contents.missing[c], contents.unknown[c], contents.beyond[c]
        if not (missing or unknown or beyond or before.missing[c] or before.unknown[c]):
            continue
        cells.append((
            escape(column.name), _part(missing, missing / rows), f"{before.missing[c]:.1%}",
            _part(unknown, contents.share(contents.unknown, c)), f"{before.unknown[c]:.1%}",
            _part(beyond, contents.share(contents.beyond, c)), escape(_range(before.ranges[c])),
        ))  # fmt: skip
    others = len(told.schema.columns) - len(cells)
    if others:
        said.append(paragraph(
            f"{others} of {len(told.schema.columns)} columns have a value that is known in every "
            "row, here and in the reference."
        ))  # fmt: skip
    names = (
        "column", "missing", "in the reference", "unknown names", "in the reference",
        "far out of range", "the reference's range",
    )  # fmt: skip
    return section("Data quality", *said, table(names, cells) if cells else "")


def answers(window: Window, found: Labelled | None, reference: Labelled | None) -> str:
    """Return the section that says how right the answers were.

    Args:
        window: whose labels are counted.
        found: its labelled predictions that measure; None where there are none to be had.
        reference: those of its version's reference.
    """
    lines: list[str] = []
    what = "within the outer quantiles" if window.regression else "right"
    if window.labelled:
        lines.append(
            f"{window.correct:,} of {window.labelled:,} labelled predictions were {what}: "
            f"{window.correct / window.labelled:.1%}. Only labels of a random sample count."
        )
        if reference is not None and len(reference):
            right = int(reference.right.sum())
            lines.append(f"In the reference {right:,} of {len(reference):,}: "
                         f"{right / len(reference):.1%}.")  # fmt: skip
        if found is not None and found.error is not None:
            lines.append(f"Their mean absolute error is {number(found.error)}.")
        if found is None:
            lines.append("The labelled predictions themselves are not here to be shown any more.")
        if window.estimate is not None:
            lines.append(f"Before there were labels the estimate was {_interval(window.estimate)}.")
        if window.error_estimate is not None:
            lines.append(
                "Before there were labels the estimate of the mean absolute error was "
                f"{window.error_estimate}."
            )
    else:
        lines.append("Labels are not here yet, so nothing is measured.")
        if window.estimate is not None:
            lines.append(
                f"An estimate, no measurement: {_interval(window.estimate)}, "
                f"{basis('coverage' if window.regression else 'accuracy')}. It is blind to a "
                "change of what the right answer is."
            )
        if window.error_estimate is not None:
            lines.append(
                f"An estimate, no measurement, of the mean absolute error: {window.error_estimate}."
            )
    return section("Performance", *map(paragraph, lines))


def failure(window: Window, why: str, made: datetime) -> str:
    """Return the page that stands in the place of one that could not be made.

    Args:
        window: whose page it is.
        why: the error.
        made: when.
    """
    cells = [
        (escape(c.column), c.method, _bold(f"{c.value:.6g}", c.drifted), f"{c.threshold:.6g}")
        for c in window.verdict.columns
    ]
    note = (
        "The numbers below are the verdict's, which the trigger acted on; nothing has confirmed "
        f"them. To try again: mlops report {window.id}"
    )
    return head(window, made) + section(
        "Evidently's part could not be made", f"<p><strong>{escape(why)}</strong></p>",
        paragraph(note),
        table(("column", "distance", "value", "threshold"), cells) if cells else "",
    )  # fmt: skip


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M}"


def _interval(told: Estimate) -> str:
    return f"{told.value:.1%} ({told.low:.1%} to {told.high:.1%})"


def _part(count: int, share: float) -> str:
    return f"{_bold(f'{count:,}', count > 0)} ({share:.1%})"


def _range(limits: tuple[float, float] | None) -> str:
    return "–" if limits is None else f"{number(limits[0])} to {number(limits[1])}"


def _bold(text: str, on: bool) -> str:  # noqa: FBT001 - one flag, of a private function
    return f"<strong>{text}</strong>" if on else text
