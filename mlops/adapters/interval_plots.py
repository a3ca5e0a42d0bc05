"""Charts of values with their intervals, as PNG: classes, slices, importances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import canvas
from mlops.core.slices import EVERYTHING, FOUND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.core.assessment import ClassScores
    from mlops.core.intervals import Interval
    from mlops.core.slices import Slice

_MAX_SLICES = 16


@dataclass(frozen=True)
class Dot:
    """One line of a chart of intervals.

    Attributes:
        label: what it is about.
        found: the value with its interval.
        n: rows behind it.
        marked: whether it is what to look at.
    """

    label: str
    found: Interval
    n: int
    marked: bool


def per_class(
    path: Path, scores: Sequence[ClassScores], rows: Sequence[int], classes: Sequence[str]
) -> None:
    """Draw the recall of each class with its interval, the worst on top."""
    dots = [
        Dot(name, one.recall, int(n), marked=False)
        for name, one, n in zip(classes, scores, rows, strict=True)
        if n > 0
    ]
    dots.sort(key=lambda dot: dot.found.value)
    dots[:1] = [replace(dot, marked=True) for dot in dots[:1]]
    intervals(path, dots, title="Recall by class, with intervals",
               unit="share of the class found (recall)")  # fmt: skip


def slices(path: Path, found: Sequence[Slice], alpha: float, *, regression: bool = False) -> None:
    """Draw the score of slices, found ones first, then the worst of what examples look like.

    Args:
        path: the file to write.
        found: slices of the same rows; classes have a chart of their own.
        alpha: slices with an adjusted p-value up to it are marked.
        regression: whether scores are errors, of which the largest is worst.
    """
    whole = next(one for one in found if one.name == EVERYTHING)
    searched: list[Dot] = []
    declared: list[Dot] = []
    for one in found:
        if one.score is None or one.name in (EVERYTHING, "class") or one.n == whole.n:
            continue
        marked = one.adjusted_p is not None and one.adjusted_p <= alpha
        words = f"{one.name}: {one.value}" + (f" ({one.limits})" if one.limits else "")
        if one.name == FOUND:
            words = f"found: {one.value}".replace(" and ", "\nand ")
        dot = Dot(words, one.score, one.n, marked)
        (searched if one.name == FOUND else declared).append(dot)
    for some in (searched, declared):
        some.sort(key=lambda dot: dot.found.value, reverse=regression)
    shown = [*searched, *declared[:_MAX_SLICES]]
    worse, measure = sum(dot.marked for dot in shown), "accuracy"
    if regression:
        measure = "mean absolute error"
    title = f"{worse} slices worse beyond chance" if worse > 1 else "One slice worse beyond chance"
    intervals(
        path, shown, title=title if worse else "No slice worse beyond chance",
        unit=f"{measure}; the line is that of all test rows",
        whole=whole.score.value if whole.score else None, shares=not regression,
    )  # fmt: skip


def intervals(
    path: Path, dots: Sequence[Dot], *, title: str, unit: str, whole: float | None = None,
    shares: bool = True,
) -> None:  # fmt: skip
    """Draw values with their intervals, one line each, the first on top.

    Args:
        path: the file to write.
        dots: the lines.
        title: of the picture.
        unit: of the axis, in words.
        whole: where to draw a line to compare with.
        shares: whether values are shares, and end at 1.
    """
    # A label of two lines needs more room than one of one.
    tall = np.array([1.0 + 0.55 * dot.label.count("\n") for dot in dots])
    at = np.cumsum(tall) - tall / 2.0
    with canvas.figure(path, 6.4, 1.4 + 0.28 * max(1.0, float(tall.sum()))) as made:
        made.suptitle(title, x=0.02, ha="left", fontsize=13, fontweight="bold")
        axes = made.add_subplot()
        if whole is not None:
            axes.axvline(whole, color=canvas.MUTED, linewidth=1, linestyle="--")
        for y, dot in zip(at, dots, strict=True):
            colour = canvas.WORST if dot.marked else canvas.CANDIDATE
            low, high = dot.found.low, dot.found.high
            axes.plot([low, high], [y, y], color=colour, linewidth=2, alpha=0.6)
            axes.plot(dot.found.value, y, "o", color=colour, markersize=7, clip_on=False, zorder=3)
            axes.text(
                1.02, y, f"n = {dot.n:,}", color=canvas.MUTED, fontsize=9, va="center",
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        axes.set_yticks(at, [dot.label for dot in dots], fontsize=10)
        lowest = min((dot.found.low for dot in dots), default=0.0)
        axes.set(ylim=(tall.sum(), 0.0), xlabel=unit)
        axes.locator_params(axis="x", nbins=5)
        if shares:
            axes.set_xlim(max(0.0, lowest - 0.03), 1.005)
            axes.xaxis.set_major_formatter(canvas.per_cent)
        axes.grid(axis="x", color=canvas.GRID)
        axes.tick_params(axis="y", length=0)
