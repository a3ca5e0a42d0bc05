"""A chart of two models on the same rows, as PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import canvas
from mlops.core.slices import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from mlops.core.intervals import Interval
    from mlops.core.slices import Slice

_COLOURS = {"candidate": canvas.CANDIDATE, "champion": canvas.CHAMPION}
_MOST = 16  # slices
_APART = 0.28  # between the lines of two models, in lines


def draw(
    path: Path, sides: Sequence[tuple[str, Sequence[Slice]]], *, regression: bool = False
) -> None:
    """Draw what each model is worth on all rows and on their slices, with intervals.

    Args:
        path: the file to write.
        sides: `candidate`, and `champion` if there is one, each with its scores of the same slices
            in the same order, that of all rows first.
        regression: whether scores are errors.
    """
    kept = [k for k, one in enumerate(sides[0][1]) if one.score is not None][: 1 + _MOST]
    scores = [(who, [s for k in kept if (s := found[k].score)]) for who, found in sides]
    write = canvas.short if regression else canvas.per_cent
    with canvas.figure(path, 6.2, 1.7 + 0.4 * len(kept)) as made:
        axes = made.add_subplot()
        for place, (who, found) in enumerate(scores):
            _dots(axes, who, found, _APART * (place - (len(sides) - 1) / 2))
        axes.set_yticks(range(len(kept)), [_label(sides[0][1][k]) for k in kept])
        axes.set_ylim(len(kept) - 0.5, -0.5)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(write)
        if not regression:
            lowest = min(one.low for _, found in scores for one in found)
            axes.set_xlim(max(0.0, lowest - 0.03), 1.005)
        axes.grid(axis="x", color=canvas.GRID)
        axes.tick_params(axis="y", length=0)
        against = " against ".join(write(found[0].value, 0.0) for _, found in scores)
        made.suptitle(f"{against} on recent rows", x=0.02, ha="left", fontsize=13,
                      fontweight="bold")  # fmt: skip
        measure = "mean absolute error" if regression else "accuracy"
        made.supxlabel(f"{measure}, with 95 % intervals", fontsize=11)
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=10)


def _dots(axes: Axes, who: str, found: Sequence[Interval], shift: float) -> None:
    y = np.arange(len(found)) + shift
    lows, highs = [one.low for one in found], [one.high for one in found]
    axes.hlines(y, lows, highs, color=_COLOURS[who], linewidth=2, alpha=0.6)
    axes.plot([one.value for one in found], y, "o", color=_COLOURS[who], markersize=6,
              clip_on=False, zorder=3, label=who)  # fmt: skip


def _label(one: Slice) -> str:
    name = "all rows" if one.name == EVERYTHING else one.name
    return f"{name}, n = {one.n:,}"
