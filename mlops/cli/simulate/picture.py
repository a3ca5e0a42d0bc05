"""The drill in one picture: accuracy above, the largest drift below, shift and alarm marked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.canvas import CANDIDATE, GRID, INK, MUTED, WORST, figure, per_cent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops.cli.simulate.outcome import Outcome


def draw(done: Outcome) -> Path:
    """Draw the picture, and return where it lies."""
    path = Path(done.picture)
    with figure(path, 10.6, 6.2, widest=math.inf) as made:
        top, bottom = made.subplots(2, 1, sharex=True)
        _accuracy(top, done)
        _drift(bottom, done)
        for axes in (top, bottom):
            axes.grid(axis="y", color=GRID)
            axes.set_xlim(0.5, len(done.windows) + 0.5)
            _marks(axes, done, named=axes is top)
        top.set_title(f"Fire drill: {done.shift} for version {done.version} of {done.project}")
        bottom.set_xlabel(f"windows of {done.window_rows} predictions")
        bottom.xaxis.get_major_locator().set_params(integer=True)
    return path


def _accuracy(axes: Axes, done: Outcome) -> None:
    x = [seen.number for seen in done.windows]
    axes.plot(
        x, [seen.accuracy for seen in done.windows], color=CANDIDATE, lw=2.4, marker="o", ms=4
    )
    axes.set(ylim=(0.0, 1.12), ylabel=f"{done.measure}, by the truth")
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axes.yaxis.set_major_formatter(per_cent)


def _drift(axes: Axes, done: Outcome) -> None:
    judged = [seen for seen in done.windows if seen.ratio is not None]
    x, y = [s.number for s in judged], np.array([s.ratio for s in judged], dtype=np.float64)
    axes.plot(x, y, color=MUTED, lw=1.6)
    for alarm, colour in ((False, MUTED), (True, WORST)):
        chosen = [place for place, seen in enumerate(judged) if seen.alarm == alarm]
        label = "window in alarm" if alarm else "quiet window"
        axes.plot([x[n] for n in chosen], y[chosen], "o", color=colour, ms=6, label=label)
    broken = [seen.number for seen in done.windows if seen.breaks]
    if broken:
        axes.plot(broken, np.ones(len(broken)), "X", color=WORST, ms=8, label="data broken")
    axes.axhline(1.0, color=INK, lw=1.0, ls=(0, (1, 2)))
    if len(y) and y.max() > 0.0:
        axes.set_yscale("log")
        axes.set_ylim(min(0.4, 0.8 * y[y > 0.0].min()), max(2.5, 1.6 * y.max()))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} ×")
    axes.set_ylabel("largest drift, in thresholds")
    axes.legend(loc="upper left")


def _marks(axes: Axes, done: Outcome, *, named: bool) -> None:
    marks = [(done.clean + 0.5, f"{done.shift} begins")]
    if done.alarm_after is not None:
        marks.append((done.clean + done.alarm_after, "incident opened"))
    before = done.version
    for seen in done.windows:
        if seen.version != before:
            marks.append((seen.number - 0.5, f"version {seen.version} answers"))
        before = seen.version
    for number, (place, name) in enumerate(marks):
        axes.axvline(place, color=INK, lw=0.9, ls=(0, (4, 3)))
        if named:
            height = 1.09 - 0.075 * (number % 3)  # close marks stay apart
            axes.annotate(
                name, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=9,
                va="center",
            )  # fmt: skip
