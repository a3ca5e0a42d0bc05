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
    lines += ["", "| window | rows | alarm | accuracy | labels | incident |"]
    lines.append("|---|---|---|---|---|---|")
    for w in reversed(recent):
        accuracy = f"{w.correct / w.labelled:.1%}" if w.labelled else _guessed(w)
        alarm = "yes" if w.verdict.alarm else "no"
        lines.append(
            f"| {w.id} | {w.cut.rows} | {alarm} | {accuracy} | {w.labelled} | {w.incident or ''} |"
        )
    return "\n".join(lines) + "\n"


def _guessed(window: Window) -> str:
    told = window.estimate
    return f"est. {told.value:.1%} ({told.low:.1%}–{told.high:.1%})" if told else "unknown"
