"""Charts of an evaluation, as PNG: readable at half a page's width, colour-blind safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import canvas
from mlops.core.amounts import number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlops.core.reliability import Calibration
    from mlops.core.robustness import Cell, Robustness


_WIDE = 5.0  # from the smallest to the largest loss: a logarithmic axis has ticks at 1, 2 and 5


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


def training(path: Path, history: Sequence[dict[str, str]]) -> None:
    """Draw training and validation loss by epoch, from the rows of `history.csv`."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    epochs = [int(row["epoch"]) for row in history]
    fitted = [float(row["train_loss"]) for row in history]
    held = [float(row["validation_loss"]) for row in history]
    best = int(np.argmin(held))
    with canvas.axes(path, 5.0, 3.6) as axes:
        axes.plot(epochs, fitted, color=canvas.MUTED, linewidth=2, label="training")
        axes.plot(epochs, held, color=canvas.CANDIDATE, linewidth=2, label="validation")
        axes.plot(epochs[best], held[best], "o", color=canvas.WORST, markersize=9, label="kept")
        if min(*fitted, *held) * _WIDE < max(*fitted, *held) and min(*fitted, *held) > 0.0:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_minor_locator(NullLocator())  # its labels would stand in each other
        axes.yaxis.set_major_formatter(canvas.short)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="loss")
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
        worse, clean = found.mean.value, found.by_severity[0].value
        shares = found.measure == "accuracy"
        title = f"Error {number(worse)} when corrupted, {number(clean)} when not"
        if shares:
            title = f"Accuracy {100 * worse:.0f} % when corrupted, {100 * clean:.0f} % when not"
        made.suptitle(title, x=0.02, ha="left", fontsize=13, fontweight="bold")
        grid = made.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.ravel()[len(names) :]:
            axes.axis("off")
        for axes, name in zip(grid.ravel(), names, strict=False):
            for other in curves.values():
                axes.plot(*_curve(other), color=canvas.GRID, linewidth=1)
            _corruption(axes, name, curves[name], shares=shares)
        made.supxlabel(f"severity (0: as it is); {found.n:,} test rows", fontsize=10)
        made.supylabel("accuracy" if shares else "mean absolute error", fontsize=10)


def _corruption(axes: Axes, name: str, cells: Sequence[Cell], *, shares: bool) -> None:
    x, y = _curve(cells)
    low, high = [c.score.low for c in cells], [c.score.high for c in cells]
    axes.fill_between(x, low, high, color=canvas.CANDIDATE, alpha=0.15, linewidth=0)
    axes.plot(x, y, "o-", color=canvas.CANDIDATE, linewidth=2, markersize=4)
    axes.set_title(name, fontsize=11, fontweight="normal")
    axes.set(xticks=range(6))
    if shares:
        axes.set(ylim=(0.0, 1.02), yticks=[0.0, 0.5, 1.0])
        axes.yaxis.set_major_formatter(canvas.per_cent)
    else:
        axes.set_ylim(bottom=0.0)
        axes.yaxis.set_major_formatter(canvas.short)
    axes.grid(axis="y", color=canvas.GRID)


def _curve(cells: Sequence[Cell]) -> tuple[list[int], list[float]]:
    return [c.severity for c in cells], [c.score.value for c in cells]


def _short(classes: Sequence[str]) -> bool:
    return max(map(len, classes)) <= 3
