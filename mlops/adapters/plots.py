"""Charts of an evaluation, as PNG: readable at half a page's width, colour-blind safe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import canvas
from mlops.core.slices import EVERYTHING, FOUND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlops.core.assessment import ClassScores
    from mlops.core.intervals import Interval
    from mlops.core.reliability import Calibration
    from mlops.core.robustness import Cell, Robustness
    from mlops.core.slices import Slice

_MAX_SLICES = 16


@dataclass(frozen=True)
class _Dot:
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


def confusion(path: Path, table: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Draw a confusion matrix (K, K) as shares of each row, with its mistakes counted."""
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    count = len(classes)
    size = min(9.0, max(4.0, 2.2 + 0.29 * count))  # room for the title above few classes
    right, total = int(np.trace(table)), int(table.sum())
    with canvas.axes(path, size + 0.3, size) as axes:
        # The square root lets a mistake of one per cent be seen beside ninety-nine.
        axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(count), classes, rotation=0 if _short(classes) else 45,
                        ha="center" if _short(classes) else "right")  # fmt: skip
        axes.set_yticks(range(count), classes)
        axes.set(xlabel="predicted", ylabel="actual")
        axes.set_title(f"{total - right:,} mistakes on {total:,} test rows")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for i, j in np.argwhere(table > 0) if count <= 20 else ():
            colour = "white" if shares[i, j] > 0.35 else canvas.INK
            axes.text(j, i, f"{table[i, j]}", ha="center", va="center", color=colour, fontsize=9)


def calibration(path: Path, before: Calibration, after: Calibration, temperature: float) -> None:
    """Draw how often the model is right against how sure it is, as it is and rescaled.

    Args:
        path: the file to write.
        before: of the model as it is exported.
        after: after temperature scaling.
        temperature: of the scaling; NaN draws `before` alone.
    """
    with canvas.axes(path, 5.4, 4.6) as axes:
        axes.plot([0, 1], [0, 1], color=canvas.MUTED, linestyle="--", linewidth=1)
        axes.text(0.1, 0.13, "perfect", color=canvas.MUTED, rotation=40, fontsize=9)
        if np.isfinite(temperature):
            filled = after.rows > 0
            axes.plot(
                after.confidence[filled], after.accuracy[filled], "o-", color=canvas.MUTED,
                markersize=4, linewidth=1, label=f"at temperature {temperature:.2f}",
            )  # fmt: skip
        filled = before.rows > 0
        sizes = 30 + 300 * before.rows[filled] / before.rows.max()
        x, y = before.confidence[filled], before.accuracy[filled]
        axes.plot(x, y, color=canvas.CANDIDATE, linewidth=1.5)
        axes.scatter(
            x, y, s=sizes, color=canvas.CANDIDATE, alpha=0.75, linewidth=0, clip_on=False, zorder=3,
            label="as exported (area: rows)",
        )  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share right")
        axes.set_title(f"Calibration error {100 * before.ece:.1f} %")
        axes.legend(loc="upper left", markerscale=0.5, fontsize=9)
        axes.grid(color=canvas.GRID)


def per_class(
    path: Path, scores: Sequence[ClassScores], rows: Sequence[int], classes: Sequence[str]
) -> None:
    """Draw the recall of each class with its interval, the worst on top."""
    dots = [
        _Dot(name, one.recall, int(n), marked=False)
        for name, one, n in zip(classes, scores, rows, strict=True)
        if n > 0
    ]
    dots.sort(key=lambda dot: dot.found.value)
    dots[:1] = [replace(dot, marked=True) for dot in dots[:1]]
    _intervals(path, dots, title="Recall by class, with intervals",
               unit="share of the class found (recall)")  # fmt: skip


def slices(path: Path, found: Sequence[Slice], alpha: float) -> None:
    """Draw the accuracy of slices, found ones first, then the worst of what images look like.

    Args:
        path: the file to write.
        found: slices of the same rows; classes have a chart of their own.
        alpha: slices with an adjusted p-value up to it are marked.
    """
    whole = next(one for one in found if one.name == EVERYTHING)
    searched: list[_Dot] = []
    declared: list[_Dot] = []
    for one in found:
        if one.accuracy is None or one.name in (EVERYTHING, "class") or one.n == whole.n:
            continue
        marked = one.adjusted_p is not None and one.adjusted_p <= alpha
        words = f"{one.name}: {one.value}" + (f" ({one.limits})" if one.limits else "")
        if one.name == FOUND:
            words = f"found: {one.value}".replace(" and ", "\nand ")
        dot = _Dot(words, one.accuracy, one.n, marked)
        (searched if one.name == FOUND else declared).append(dot)
    for some in (searched, declared):
        some.sort(key=lambda dot: dot.found.value)
    shown = [*searched, *declared[:_MAX_SLICES]]
    worse = sum(dot.marked for dot in shown)
    title = f"{worse} slices worse beyond chance" if worse > 1 else "One slice worse beyond chance"
    _intervals(
        path, shown, title=title if worse else "No slice worse beyond chance",
        unit="accuracy; the line is that of all test rows",
        whole=whole.accuracy.value if whole.accuracy else None,
    )  # fmt: skip


def _intervals(
    path: Path, dots: Sequence[_Dot], *, title: str, unit: str, whole: float | None = None
) -> None:
    """Draw values with their intervals, one line each, the first on top."""
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
        axes.set(xlim=(max(0.0, lowest - 0.03), 1.005), ylim=(tall.sum(), 0.0), xlabel=unit)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(_per_cent)
        axes.grid(axis="x", color=canvas.GRID)
        axes.tick_params(axis="y", length=0)


def training(path: Path, history: Sequence[dict[str, str]]) -> None:
    """Draw training and validation loss by epoch, from the rows of `history.csv`."""
    from matplotlib.ticker import MaxNLocator

    epochs = [int(row["epoch"]) for row in history]
    fitted = [float(row["train_loss"]) for row in history]
    held = [float(row["validation_loss"]) for row in history]
    best = int(np.argmin(held))
    with canvas.axes(path, 5.0, 3.6) as axes:
        axes.plot(epochs, fitted, color=canvas.MUTED, linewidth=2, label="training")
        axes.plot(epochs, held, color=canvas.CANDIDATE, linewidth=2, label="validation")
        axes.plot(epochs[best], held[best], "o", color=canvas.WORST, markersize=9, label="kept")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="loss (nats)")
        axes.set_title(f"Epoch {epochs[best]} kept: validation loss {held[best]:.3f}")
        axes.legend()
        axes.grid(color=canvas.GRID)


def robustness(path: Path, found: Robustness) -> None:
    """Draw the accuracy under each corruption by severity, the others faint behind it."""
    names = list(dict.fromkeys(cell.corruption for cell in found.cells))
    curves = {name: [c for c in found.cells if c.corruption == name] for name in names}
    columns = 3
    lines = -(-len(names) // columns)
    with canvas.figure(path, 6.4, 0.7 + 1.75 * lines) as made:
        clean = found.by_severity[0].value
        title = (
            f"Accuracy {100 * found.mean.value:.0f} % when corrupted, {100 * clean:.0f} % when not"
        )
        made.suptitle(title, x=0.02, ha="left", fontsize=13, fontweight="bold")
        grid = made.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.ravel()[len(names) :]:
            axes.axis("off")
        for axes, name in zip(grid.ravel(), names, strict=False):
            for other in curves.values():
                axes.plot(*_curve(other), color=canvas.GRID, linewidth=1)
            _corruption(axes, name, curves[name])
        made.supxlabel(f"severity (0: as it is); {found.n:,} test rows", fontsize=10)
        made.supylabel("accuracy", fontsize=10)


def _corruption(axes: Axes, name: str, cells: Sequence[Cell]) -> None:
    x, y = _curve(cells)
    low, high = [c.accuracy.low for c in cells], [c.accuracy.high for c in cells]
    axes.fill_between(x, low, high, color=canvas.CANDIDATE, alpha=0.15, linewidth=0)
    axes.plot(x, y, "o-", color=canvas.CANDIDATE, linewidth=2, markersize=4)
    axes.set_title(name, fontsize=11, fontweight="normal")
    axes.set(ylim=(0.0, 1.02), xticks=range(6), yticks=[0.0, 0.5, 1.0])
    axes.yaxis.set_major_formatter(_per_cent)
    axes.grid(axis="y", color=canvas.GRID)


def _per_cent(share: float, _: float) -> str:
    return f"{100 * share:.3g} %"


def _curve(cells: Sequence[Cell]) -> tuple[list[int], list[float]]:
    return [c.severity for c in cells], [c.accuracy.value for c in cells]


def _short(classes: Sequence[str]) -> bool:
    return max(map(len, classes)) <= 3
