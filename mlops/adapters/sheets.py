"""Sheets of small pictures: the surest mistakes, and which pixels answers rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import canvas
from mlops.core.showcase import NOBODY, surest_mistakes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlops.adapters.explanations import Attributions

_MAX_MISTAKES = 18
_MAX_LETTERS = 12  # of a class name above a small picture
_WIDTH, _HEAD, _LINE, _FOOT, _SIDE = 7.0, 1.1, 1.2, 0.3, 0.78
"""Of the sheet of explanations, in inches: its width, what is above and below the lines, the
distance from line to line, and the side of one picture."""
_METHODS = ("image", "saliency", "integrated\ngradients", "occlusion")


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
    wrong = surest_mistakes(label, probabilities)
    shown = wrong[:_MAX_MISTAKES]
    columns = 6
    lines = max(1, -(-len(shown) // columns))
    with canvas.figure(path, 6.8, 0.5 + 1.62 * lines) as figure:
        figure.suptitle(f"The surest of {len(wrong):,} mistakes", x=0.02, ha="left",
                        fontsize=13, fontweight="bold")  # fmt: skip
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes in grid.ravel():
            axes.axis("off")
        for axes, row in zip(grid.ravel(), shown, strict=False):
            _picture(axes, images[row])
            guess, sure = int(probabilities[row].argmax()), 100 * probabilities[row].max()
            said, true = classes[guess][:_MAX_LETTERS], classes[label[row]][:_MAX_LETTERS]
            axes.set_title(
                f"said {said}\n{sure:.0f} % sure\nis {true}",
                fontsize=8.5, loc="center", fontweight="normal",
            )  # fmt: skip


@dataclass(frozen=True)
class Explained:
    """Answers with what they rest on.

    Attributes:
        row: int64 (M,): their row numbers.
        images: uint8 (M, H, W, C).
        label: int64 (M,).
        probabilities: float32 (M, K).
        found: attributions of the answers.
    """

    row: NDArray[np.int64]
    images: NDArray[np.uint8]
    label: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    found: Attributions


def explanations(
    path: Path, pairs: Sequence[tuple[int, int]], shown: Explained, classes: Sequence[str]
) -> None:
    """Draw mistakes on the left and right answers like them on the right, with attributions.

    Args:
        path: the file to write.
        pairs: of `mlops.core.showcase.pairs`: row numbers, `NOBODY` for none; at least one.
        shown: all rows of the pairs.
        classes: names of the labels.
    """
    spot = {int(row): place for place, row in enumerate(shown.row)}
    height = _HEAD + _LINE * len(pairs) + _FOOT
    # Places are computed: for so many axes a layout engine takes longer than all the drawing.
    with canvas.figure(path, _WIDTH, height, layout=None) as figure:
        figure.text(0.01, 1 - 0.24 / height, "What the answers rest on", fontsize=13,
                    fontweight="bold")  # fmt: skip
        figure.text(
            0.01, 0.1 / height, "integrated gradients and occlusion: orange speaks for the answer, "
            "blue against it", fontsize=9, color=canvas.MUTED,
        )  # fmt: skip
        for side, title in enumerate(("surest mistakes", "right answers")):
            left = 0.08 + side * _WIDTH / 2
            nobody = all(pair[side] == NOBODY for pair in pairs)
            words = f"no {title.split()[-1]}" if nobody else title
            figure.text(left / _WIDTH, 1 - 0.55 / height, words, fontsize=11)
            for line, pair in enumerate(pairs):
                if pair[side] == NOBODY:
                    continue
                bottom = height - _HEAD - _LINE * line - _SIDE
                places = [(left + step * (_SIDE + 0.05)) / _WIDTH for step in range(len(_METHODS))]
                row = [
                    figure.add_axes((at, bottom / height, _SIDE / _WIDTH, _SIDE / height))
                    for at in places
                ]
                _explained(row, shown, spot[pair[side]], classes)
                if line == 0:
                    for axes, method in zip(row, _METHODS, strict=True):
                        axes.set_title(method, fontsize=8.5, loc="center", fontweight="normal")


def _explained(line: Sequence[Axes], shown: Explained, place: int, classes: Sequence[str]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    against_for = LinearSegmentedColormap.from_list(
        "against_for", [canvas.CANDIDATE, "white", canvas.WORST]
    )
    said, true = int(shown.probabilities[place].argmax()), int(shown.label[place])
    sure = 100 * shown.probabilities[place].max()
    # Two lines on either side, so that the lines of both stand level.
    words = f"{classes[true][:_MAX_LETTERS]}\n{sure:.0f} % sure"
    if said != true:
        words = f"said {classes[said][:_MAX_LETTERS]},\nis {classes[true][:_MAX_LETTERS]}"
    _picture(line[0], shown.images[place])
    line[0].set_xlabel(words, fontsize=8, labelpad=2)
    _map(line[1], shown.found.saliency[place], "Greys", lowest=0.0)
    _map(line[2], shown.found.integrated[place], against_for, lowest=-1.0)
    _map(line[3], shown.found.occlusion[place], against_for, lowest=-1.0)


def _picture(axes: Axes, image: NDArray[np.uint8]) -> None:
    flat = image[..., 0] if image.shape[2] == 1 else image
    axes.imshow(flat, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _map(axes: Axes, values: NDArray[np.float64], colours: Any, *, lowest: float) -> None:
    # A high percentile as the scale: one hot pixel must not make the rest pale.
    scale = float(np.quantile(np.abs(values), 0.99)) or 1.0
    axes.imshow(values / scale, cmap=colours, vmin=lowest, vmax=1.0, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=canvas.GRID)
