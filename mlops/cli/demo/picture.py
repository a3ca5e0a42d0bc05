"""`reports/recovery.png`: accuracy over time with the loop, beside the line without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlops.cli.demo.client import Record

_SMOOTH = 120


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
    from mlops.adapters.runtimes import open_model

    answers = open_model(first).probabilities(np.stack(record.images))
    return Story(
        with_loop=np.array(record.right),
        without_loop=answers.argmax(axis=1) == np.array(record.label),
        marks=marks,
        title="A model that keeps itself right: shift, alarm, retrain, recovery",
    )


def draw(story: Story, path: Path) -> None:
    """Draw the picture, readable at half its width."""
    from mlops.adapters.canvas import CANDIDATE, GRID, MUTED, axes

    x = np.arange(len(story.with_loop))
    with axes(path, 10.6, 5.0, widest=math.inf) as ax:
        ax.plot(x, _running(story.without_loop), color=MUTED, lw=2.2, label="without the loop")
        ax.plot(x, _running(story.with_loop), color=CANDIDATE, lw=2.6, label="with the loop")
        _marks(ax, story)
        ax.set(xlim=(0, len(x)), ylim=(0, 1.12), xlabel="requests, in order of arrival")
        ax.set_ylabel(f"accuracy of the last {_SMOOTH}")
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
        ax.set_title(story.title)
        ax.grid(axis="y", color=GRID)
        ax.legend(loc="lower right")


def _running(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of right answers among the last `_SMOOTH`, shorter at the start."""
    total = np.concatenate([[0.0], np.cumsum(right, dtype=np.float64)])
    end = np.arange(1, len(right) + 1)
    start = np.maximum(end - _SMOOTH, 0)
    shares: NDArray[np.float64] = (total[end] - total[start]) / (end - start)
    return shares


def _marks(ax: Axes, story: Story) -> None:
    """Write each mark beside its line, on alternating heights so that close ones stay apart."""
    from mlops.adapters.canvas import INK

    for number, (position, name) in enumerate(story.marks):
        ax.axvline(position, color=INK, lw=0.9, ls=(0, (4, 3)))
        ax.annotate(
            name,
            (position, 1.09 - 0.065 * (number % 2)),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=9,
            color=INK,
            va="center",
        )
