"""`reports/backtest/backtest.png`: accuracy with and without the loop, and what it did when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.canvas import CANDIDATE, GRID, INK, MUTED, WORST, axes, per_cent

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from mlops.core.backtest_report import Backtest

_DAY_S = 86_400.0
_MOST_POINTS = 120  # more windows than a person tells apart are shown as running means


def draw(found: Backtest, title: str, path: Path) -> None:
    """Draw the picture, readable at half its width.

    Args:
        found: the backtest, of at least one window.
        title: one line above the picture.
        path: of the PNG.
    """
    with axes(path, 10.6, 5.0, widest=math.inf) as ax:
        at = [_place(s.end_s) for s in found.steps]
        ax.xaxis_date()
        width = max(1, len(at) // _MOST_POINTS)
        lines = (
            ([s.accuracy_static for s in found.steps], MUTED, 2.2, "without the loop"),
            ([s.accuracy for s in found.steps], CANDIDATE, 2.6, "with the loop"),
        )
        for values, colour, thick, label in lines:
            ax.plot(at, _running(values, width), color=colour, lw=thick, label=label)
        if found.reference is not None:
            low = found.reference - found.margin
            ax.axhline(low, color=INK, lw=0.9, ls=(0, (1, 3)), label="margin below the reference")
        _episodes(ax, found)
        _retrains(ax, found)
        ax.yaxis.set_major_formatter(per_cent)
        unit = f" (mean of {width} windows)" if width > 1 else ""
        ax.set(ylabel=found.measure + unit, title=title)
        ax.grid(axis="y", color=GRID)
        ax.legend(loc="lower left", ncols=2)


def _running(
    values: list[float | None], width: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the mean of the last `width` windows that have labels; shorter at the start."""
    known = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(known))])
    count = np.concatenate([[0], np.cumsum(~np.isnan(known))])
    end = np.arange(1, len(known) + 1)
    start = np.maximum(end - width, 0)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray[tuple[int], np.dtype[np.float64]] = (total[end] - total[start]) / (
            count[end] - count[start]
        )
    return mean


def _episodes(ax: Axes, found: Backtest) -> None:
    """Shade each incident from its window to the one that closed it; costly ones are loud."""
    last = len(found.steps) - 1
    named: set[str] = set()
    for episode in found.episodes:
        costly = episode.costly is not None
        name = "incident, costly" if costly else "incident, harmless or unclear"
        first = episode.costly if costly and episode.costly is not None else episode.opened
        spans = [(first, episode.closed, WORST if costly else MUTED, name)]
        if costly and first > episode.opened:
            spans.append((episode.opened, first, MUTED, "incident, harmless or unclear"))
        for start, stop, colour, label in spans:
            begin = found.steps[max(start - found.first, 0)].start_s
            end = found.steps[last if stop is None else min(stop - found.first, last)].end_s
            ax.axvspan(
                _place(begin), _place(end), color=colour,
                alpha=0.16, lw=0, label=None if label in named else label,
            )  # fmt: skip
            named.add(label)


def _retrains(ax: Axes, found: Backtest) -> None:
    """Mark promotions by a line, and what the gate did not pass by a cross."""
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.18 * (high - low), high)  # room for the legend
    promoted = [r for r in found.retrains if r.promoted is not None]
    for number, retrain in enumerate(promoted):
        at = _place(found.steps[(retrain.promoted or 0) - found.first].end_s)
        label = "promotion" if number == 0 else None
        ax.axvline(at, color=INK, lw=0.9, ls=(0, (4, 3)), label=label)
    others = [_place(r.at_s) for r in found.retrains if r.promoted is None]
    if others:
        ax.plot(
            others,
            [high] * len(others),
            "x",
            color=INK,
            label="retrain not promoted",
            clip_on=False,
        )


def _place(at_s: float) -> float:
    """Return a time as matplotlib's axes of dates count it: in days since 1970."""
    return at_s / _DAY_S
