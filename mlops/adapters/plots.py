"""Pictures of an evaluation, as PNG: readable at half a page's width, colour-blind safe."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlops.core.intervals import Interval
    from mlops.core.metrics import Calibration

INK, MUTED, BLUE, ORANGE, GRID = "#1f2933", "#6b7785", "#0b6e99", "#d9730d", "#e4e7eb"
_STYLE: Any = {
    "font.size": 11, "axes.titlesize": 13, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "white", "savefig.facecolor": "white", "legend.frameon": False,
    "font.family": "DejaVu Sans", "svg.hashsalt": "mlops",
}  # fmt: skip
_MAX_MISTAKES = 18
_MAX_LETTERS = 12  # of a class name above a small picture


@contextmanager
def _axes(path: Path, width: float, height: float) -> Iterator[Axes]:
    """Give one pair of axes and save it as a PNG of width × 110 pixels, the same every time."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        # No pyplot: it keeps global state, and looks for a display.
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.add_subplot()
        _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        # Without the version of the library, equal pictures are equal bytes.
        figure.savefig(stream, format="png", metadata={"Software": None})


def confusion(path: Path, table: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Draw a confusion matrix (K, K) as shares of each row, with its mistakes counted."""
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    count = len(classes)
    size = min(9.0, max(4.0, 2.2 + 0.29 * count))  # room for the title above few classes
    right, total = int(np.trace(table)), int(table.sum())
    with _axes(path, size + 0.3, size) as axes:
        # The square root lets a mistake of one per cent be seen beside ninety-nine.
        axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(count), classes, rotation=0 if _short(classes) else 45,
                        ha="center" if _short(classes) else "right")  # fmt: skip
        axes.set_yticks(range(count), classes)
        axes.set(xlabel="predicted", ylabel="actual")
        axes.set_title(f"{total - right} mistakes on {total} test rows")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for i, j in np.argwhere(table > 0) if count <= 20 else ():
            colour = "white" if shares[i, j] > 0.35 else INK
            axes.text(j, i, str(table[i, j]), ha="center", va="center", color=colour, fontsize=9)


def calibration(path: Path, curve: Calibration) -> None:
    """Draw how often the model is right against how sure it is."""
    filled = curve.rows > 0
    with _axes(path, 5.0, 4.4) as axes:
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        axes.text(0.3, 0.33, "perfect", color=MUTED, rotation=40, fontsize=9)
        sizes = 30 + 300 * curve.rows[filled] / curve.rows.max()
        x, y = curve.confidence[filled], curve.accuracy[filled]
        axes.plot(x, y, color=BLUE, linewidth=1.5)
        axes.scatter(x, y, s=sizes, color=BLUE, alpha=0.75, linewidth=0, clip_on=False, zorder=3)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share right")
        axes.set_title(f"Calibration error {100 * curve.ece:.1f} %")
        axes.text(0.02, 0.95, "area of a dot: rows", color=MUTED, fontsize=9)
        axes.grid(color=GRID)


def per_class(
    path: Path, recall: Sequence[Interval | None], rows: Sequence[int], classes: Sequence[str]
) -> None:
    """Draw the recall of each class with its interval, the worst on top."""
    known = [(r, n, c) for r, n, c in zip(recall, rows, classes, strict=True) if r is not None]
    known.sort(key=lambda item: -item[0].value)
    with _axes(path, 5.0, 1.2 + 0.3 * max(1, len(known))) as axes:
        for y, (found, n, _) in enumerate(known):
            worst = y == len(known) - 1
            colour = ORANGE if worst else BLUE
            axes.plot([found.low, found.high], [y, y], color=colour, linewidth=2, alpha=0.6)
            axes.plot(found.value, y, "o", color=colour, markersize=7)
            axes.text(1.02, y, f"n = {n}", color=MUTED, fontsize=9, va="center",
                      transform=axes.get_yaxis_transform())  # fmt: skip
        axes.set_yticks(range(len(known)), [c for _, _, c in known])
        lowest = min((r.low for r, _, _ in known), default=0.0)
        axes.set(xlim=(max(0.0, lowest - 0.03), 1.005), xlabel="share of the class found (recall)")
        axes.set_title("Recall by class, with intervals")
        axes.grid(axis="x", color=GRID)
        axes.tick_params(axis="y", length=0)


def training(path: Path, history: Sequence[dict[str, str]]) -> None:
    """Draw training and validation loss by epoch, from the rows of `history.csv`."""
    from matplotlib.ticker import MaxNLocator

    epochs = [int(row["epoch"]) for row in history]
    fitted = [float(row["train_loss"]) for row in history]
    held = [float(row["validation_loss"]) for row in history]
    best = int(np.argmin(held))
    with _axes(path, 5.0, 3.6) as axes:
        axes.plot(epochs, fitted, color=MUTED, linewidth=2, label="training")
        axes.plot(epochs, held, color=BLUE, linewidth=2, label="validation")
        axes.plot(epochs[best], held[best], "o", color=ORANGE, markersize=9, label="kept")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="loss (nats)")
        axes.set_title(f"Epoch {epochs[best]} kept: validation loss {held[best]:.3f}")
        axes.legend()
        axes.grid(color=GRID)


def mistakes(
    path: Path,
    images: NDArray[np.uint8],
    label: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
) -> None:
    """Draw a contact sheet of the wrong answers that the model was surest of.

    Args:
        path: the file to write.
        images: uint8 (N, H, W, C).
        label: int64 (N,).
        probabilities: float32 (N, K).
        classes: names of the labels.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    guess, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(guess != label)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MAX_MISTAKES]
    columns = 6
    lines = max(1, -(-len(shown) // columns))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.8, 0.5 + 1.62 * lines), dpi=110, layout="constrained")
        figure.suptitle(f"The surest of {len(wrong)} mistakes", x=0.02, ha="left",
                        fontsize=13, fontweight="bold")  # fmt: skip
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes in grid.ravel():
            axes.axis("off")
        for axes, row in zip(grid.ravel(), shown, strict=False):
            image = images[row][..., 0] if images.shape[3] == 1 else images[row]
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            said, true = classes[guess[row]][:_MAX_LETTERS], classes[label[row]][:_MAX_LETTERS]
            axes.set_title(
                f"said {said}\n{100 * confidence[row]:.0f} % sure\nis {true}",
                fontsize=8.5, loc="center", fontweight="normal",
            )  # fmt: skip
        _save(figure, path)


def _short(classes: Sequence[str]) -> bool:
    return max(map(len, classes)) <= 3
