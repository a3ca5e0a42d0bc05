"""The newest windows as tables in Markdown: what the run of the monitor shows in Prefect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.estimate import MEAN_ERROR

if TYPE_CHECKING:
    from mlops.adapters.windows import Window


def markdown(recent: tuple[Window, ...]) -> str:
    """Return the drift table: columns of the newest window, then the windows before it."""
    if not recent:
        return ""
    newest = recent[-1]
    lines = [f"### Window {newest.id}", "", "| column | method | value | threshold | |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| {c.column} | {c.method} | {c.value:.4f} | {c.threshold:.4f} | "
        f"{'drifted' if c.drifted else ''} |"
        for c in newest.verdict.columns
    ]
    lines += [f"- broken: {text}" for text in newest.verdict.breaks]
    lines += [f"- {newest.fixed}"] * (newest.fixed is not None)
    lines += [f"- {newest.unwatched}"] * bool(newest.unwatched)
    off = f" {MEAN_ERROR} |" * newest.regression
    lines += ["", f"| window | rows | alarm |{off} {newest.measure} | labels | incident |"]
    lines.append("|---|---|---|---|---|---|" + "---|" * newest.regression)
    for w in reversed(recent):
        alarm = "yes" if w.verdict.alarm else "no"
        off = f" {w.off or 'unknown'} |" * newest.regression
        lines.append(
            f"| {w.id} | {w.cut.rows} | {alarm} |{off} {w.share} | {w.labelled} | "
            f"{w.incident or ''} |"
        )
    return "\n".join(lines) + "\n"
