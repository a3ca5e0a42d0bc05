"""Charts of a regression's errors, as PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import canvas
from mlops.core.schema import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.assessment import Scored
    from mlops.core.regression_scores import CoverageBin

_DOTS = 4000  # more of them are a blot; these are every so-manieth row


def residuals(path: Path, scored: Scored) -> None:
    """Draw errors against predictions, with their median and middle nine tenths in bins."""
    point, residual = scored.point, scored.label - scored.point
    step = max(1, len(point) // _DOTS)
    order = np.argsort(point, kind="stable")
    parts = [part for part in np.array_split(order, min(20, len(order))) if len(part)]
    middle = [float(np.median(point[part])) for part in parts]
    low, half, high = (
        [float(np.quantile(residual[part], q)) for part in parts] for q in (0.05, 0.5, 0.95)
    )
    with canvas.axes(path, 6.0, 4.2) as axes:
        axes.plot(point[::step], residual[::step], ".", color=canvas.MUTED, alpha=0.25,
                  markersize=4, markeredgewidth=0)  # fmt: skip
        axes.axhline(0.0, color=canvas.INK, linewidth=1)
        axes.fill_between(middle, low, high, color=canvas.CANDIDATE, alpha=0.15, linewidth=0)
        axes.plot(middle, half, color=canvas.CANDIDATE, linewidth=2, label="median")
        axes.set(xlabel="prediction", ylabel="target minus prediction")
        axes.set_title(f"Errors: {np.abs(residual).mean():.4g} on average, either way")
        axes.legend()
        axes.grid(color=canvas.GRID)


def normal(path: Path, expected: NDArray[np.float64], found: NDArray[np.float64]) -> None:
    """Draw standardised errors against normal quantiles: heavy tails bend away from the line."""
    step = max(1, len(expected) // _DOTS)
    # The ends matter most here, and are never left out.
    last = len(expected)
    ends = np.r_[: min(50, last), max(0, last - 50) : last]
    rows = np.union1d(np.arange(0, last, step), ends)
    reach = float(np.abs(expected).max())
    with canvas.axes(path, 4.8, 4.4) as axes:
        axes.plot([-reach, reach], [-reach, reach], color=canvas.MUTED, linestyle="--", linewidth=1)
        axes.plot(expected[rows], found[rows], ".", color=canvas.CANDIDATE, markersize=5)
        beyond = 100 * float((np.abs(found) > 3.0).mean())
        axes.set(xlabel="expected of normal errors", ylabel="errors, in standard deviations")
        axes.set_title(f"{beyond:.1f} % beyond three deviations")
        axes.grid(color=canvas.GRID)


def coverage(path: Path, bins: Sequence[CoverageBin]) -> None:
    """Draw how often targets lie in their predicted interval, by prediction."""
    promised = QUANTILES[-1] - QUANTILES[0]
    at = np.arange(len(bins))
    value = np.array([one.coverage.value for one in bins])
    reach = [
        value - np.array([one.coverage.low for one in bins]),
        np.array([one.coverage.high for one in bins]) - value,
    ]
    rows = np.array([one.n for one in bins])
    with canvas.axes(path, 6.0, 4.0) as axes:
        axes.axhline(promised, color=canvas.MUTED, linestyle="--", linewidth=1)
        axes.errorbar(at, value, yerr=reach, fmt="o", color=canvas.CANDIDATE, capsize=3)
        names = [f"{one.low:.3g} to\n{one.high:.3g}" for one in bins]
        axes.set_xticks(at, names, fontsize=7)
        axes.yaxis.set_major_formatter(canvas.per_cent)
        axes.set(ylim=(0.0, 1.02), xlabel="prediction", ylabel="targets inside")
        whole = 100 * float((value * rows).sum() / rows.sum())
        axes.set_title(f"{whole:.1f} % lie inside; {100 * promised:.0f} % are promised")
        axes.grid(axis="y", color=canvas.GRID)
