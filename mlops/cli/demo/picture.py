"""`reports/recovery.png`: accuracy over time with the loop, beside the line without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlops.cli.demo.client import Record

_SMOOTH = 120
_WITH, _WITHOUT, _MARK = "#1769aa", "#b0b4ba", "#4a4f57"


@dataclass(frozen=True)
class Story:
    """What the picture shows.

    Attributes:
        with_loop: bool, (N,): whether each answer of the system was right.
        without_loop: bool, (N,): the same requests, scored by the first version for ever.
        marks: position among the requests, and its name: shift, alarm, retrain, promotion.
        title: one line above the picture.
    """

    with_loop: NDArray[np.bool_]
    without_loop: NDArray[np.bool_]
    marks: tuple[tuple[int, str], ...]
    title: str


def relive(record: Record, first: Path, marks: tuple[tuple[int, str], ...]) -> Story:
    """Score every request again with the first version, as a system without the loop would.

    Args:
        record: the requests and how they were answered.
        first: folder of the first version, as the server keeps it.
        marks: position among the requests, and name.
    """
    from mlops.adapters.onnx_session import Session

    answers = Session(first / "model.onnx").probabilities(np.stack(record.images))
    return Story(
        with_loop=np.array(record.right),
        without_loop=answers.argmax(axis=1) == np.array(record.label),
        marks=marks,
        title="A model that keeps itself right: shift, alarm, retrain, recovery",
    )


def draw(story: Story, path: Path) -> None:
    """Draw the picture, readable at half its width."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9.0, 4.2), dpi=130)
    x = np.arange(len(story.with_loop))
    axes.plot(x, _running(story.without_loop), color=_WITHOUT, lw=2.2, label="without the loop")
    axes.plot(x, _running(story.with_loop), color=_WITH, lw=2.6, label="with the loop")
    _marks(axes, story)
    axes.set(xlim=(0, len(x)), ylim=(0, 1.12), xlabel="requests, in order of arrival")
    axes.set_ylabel(f"accuracy of the last {_SMOOTH}")
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_title(story.title, loc="left", fontsize=11.5, fontweight="bold")
    axes.grid(axis="y", color="#e6e8eb", lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": ""})
    plt.close(figure)


def _running(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of right answers among the last `_SMOOTH`, shorter at the start."""
    total = np.concatenate([[0.0], np.cumsum(right, dtype=np.float64)])
    end = np.arange(1, len(right) + 1)
    start = np.maximum(end - _SMOOTH, 0)
    shares: NDArray[np.float64] = (total[end] - total[start]) / (end - start)
    return shares


def _marks(axes: Axes, story: Story) -> None:
    """Write each mark beside its line, on alternating heights so that close ones stay apart."""
    for number, (position, name) in enumerate(story.marks):
        axes.axvline(position, color=_MARK, lw=0.9, ls=(0, (4, 3)))
        axes.annotate(
            name,
            (position, 1.09 - 0.065 * (number % 2)),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=9,
            color=_MARK,
            va="center",
        )
