"""The newest windows as tables in Markdown: what the run of the monitor shows in Prefect."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    lines += ["", f"| window | rows | alarm | {newest.measure} | labels | incident |"]
    lines.append("|---|---|---|---|---|---|")
    for w in reversed(recent):
        alarm = "yes" if w.verdict.alarm else "no"
        lines.append(
            f"| {w.id} | {w.cut.rows} | {alarm} | {w.share} | {w.labelled} | {w.incident or ''} |"
        )
    return "\n".join(lines) + "\n"
