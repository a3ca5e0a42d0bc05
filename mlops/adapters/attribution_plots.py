"""Pictures of what answers rest on: columns of a table, words of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import canvas
from mlops.adapters.interval_plots import Dot, intervals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.importance import Importance, Token
    from mlops.core.schema import TableSchema

_COLUMNS = 20
_LINE, _LETTERS = 0.27, 92  # inches of one line of words, and letters that fit into it


def importance(path: Path, found: Sequence[Importance], rows: int, unit: str) -> None:
    """Draw by how much the loss rises when a column is shuffled, with intervals.

    Args:
        path: the file to write.
        found: the columns, the most important first; those beyond 20 are left out.
        rows: on which it was measured.
        unit: of the loss.
    """
    dots = [Dot(one.name, one.rise, rows, marked=False) for one in found[:_COLUMNS]]
    intervals(
        path, dots, title="What it cannot do without", whole=0.0, shares=False,
        unit=f"rise of the {unit}, when shuffled",
    )  # fmt: skip


def shapley(
    path: Path, effect_ND: NDArray[np.float64], row_ND: NDArray[np.float64], schema: TableSchema
) -> None:
    """Draw each row's attributions, one line of dots per column, coloured by the column's value.

    Args:
        path: the file to write.
        effect_ND: what each column adds to each row's answer.
        row_ND: the rows.
        schema: names of the D columns.
    """
    order = np.argsort(-np.abs(effect_ND).mean(axis=0), kind="stable")[:_COLUMNS]
    rng = np.random.default_rng(0)
    with canvas.figure(path, 6.8, 1.6 + 0.32 * len(order)) as made:
        made.suptitle("What moves the answers, row by row", x=0.02, ha="left", fontsize=13,
                      fontweight="bold")  # fmt: skip
        axes = made.add_subplot()
        axes.axvline(0.0, color=canvas.MUTED, linewidth=1)
        for line, c in enumerate(order):
            x, y = effect_ND[:, c], line + rng.uniform(-0.28, 0.28, len(effect_ND))
            number = schema.columns[c].kind == "number"
            colour = _ranks(row_ND[:, c]) if number else canvas.MUTED
            axes.scatter(x, y, s=8, c=colour, cmap=_blue_orange() if number else None,
                         linewidth=0, alpha=0.8)  # fmt: skip
        axes.set_yticks(range(len(order)), [schema.columns[c].name for c in order], fontsize=10)
        axes.set_ylim(len(order) - 0.4, -0.6)
        what = "prediction"
        if schema.classes:
            second = len(schema.classes) == 2
            what = f"log-odds of {schema.classes[1]}" if second else "log-odds of the answer"
        axes.set_xlabel(f"effect on the {what}; blue: low values, orange: high, grey: names")
        axes.grid(axis="x", color=canvas.GRID)
        axes.tick_params(axis="y", length=0)


def tokens(path: Path, texts: Sequence[tuple[str, Sequence[Token]]]) -> None:
    """Draw texts word by word: orange speaks for the answer, blue against it.

    Args:
        path: the file to write.
        texts: title and words of each.
    """
    laid = [(title, _lines(words)) for title, words in texts]
    height = 0.8 + sum(_LINE * (len(lines) + 1.6) for _, lines in laid)
    scale = max((abs(w.effect) for _, words in texts for w in words), default=0.0) or 1.0
    colours = _blue_orange()
    with canvas.figure(path, 6.8, max(height, 1.5), layout=None) as made:
        axes = made.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 1), ylim=(max(height, 1.5), 0))
        axes.axis("off")
        axes.text(0.02, 0.3, "Words that the answers rest on", fontsize=13, fontweight="bold")
        top = 0.8
        for title, lines in laid:
            axes.text(0.02, top, _plain(title), fontsize=10, fontweight="bold")
            for line in lines:
                top += _LINE
                for at, word in line:
                    shade = colours(0.5 + 0.5 * word.effect / scale)
                    axes.text(
                        0.02 + 0.96 * at / _LETTERS, top, _plain(word.text), fontsize=8,
                        family="DejaVu Sans Mono",
                        bbox={"facecolor": shade, "edgecolor": "none", "pad": 1.0},
                    )  # fmt: skip
            top += 1.6 * _LINE


def _lines(words: Sequence[Token]) -> list[list[tuple[int, Token]]]:
    """Return words with the place where each begins, broken into lines."""
    lines: list[list[tuple[int, Token]]] = [[]]
    at = 0
    for word in words:
        size = min(len(word.text), _LETTERS)
        if at + size > _LETTERS and lines[-1]:
            lines.append([])
            at = 0
        lines[-1].append((at, word))
        at += size + 1
    return lines


def _plain(text: str) -> str:
    """Return text that matplotlib draws as it stands: a dollar would begin a formula."""
    return "".join(c if c.isprintable() else "?" for c in text)[:_LETTERS].replace("$", r"\$")


def _ranks(value_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the place of each value among the others, in [0, 1]; missing ones in the middle."""
    known = ~np.isnan(value_N)
    out = np.full(len(value_N), 0.5)
    _, place = np.unique(value_N[known], return_inverse=True)
    out[known] = place / max(int(place.max(initial=0)), 1)
    return out


def _blue_orange() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "blue_orange", [canvas.CANDIDATE, "#e9e9e9", canvas.WORST]
    )
