"""What all pictures have in common: colours, style, and how they become files."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from mlops.adapters.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

INK, MUTED, GRID = "#1f2933", "#6b7785", "#e4e7eb"
CANDIDATE = "#0b6e99"
"""The model under evaluation, in every picture."""
CHAMPION = "#8a6d3b"
"""The model in service, in every picture; told from the candidate's by lightness too."""
WORST = "#d9730d"
"""What to look at first."""
STYLE: Any = {
    "font.size": 11, "axes.titlesize": 13, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "white", "savefig.facecolor": "white", "legend.frameon": False,
    "font.family": "DejaVu Sans", "svg.hashsalt": "mlops",
}  # fmt: skip
"""For `matplotlib.rc_context`."""
DPI = 110
WIDEST = 700
"""Pixels: MLflow's page of a version has no more for a picture in a window of 1280, and cuts it."""


@contextmanager
def figure(
    path: Path,
    width: float,
    height: float,
    layout: Literal["constrained"] | None = "constrained",
    widest: float = WIDEST,
) -> Iterator[Any]:
    """Give an empty figure of width × height inches and save it, the same every time.

    An inch has 110 pixels; fewer where the picture would be wider than `widest` pixels, which
    those for MLflow's page are not.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        # No pyplot: it keeps global state, and looks for a display.
        dpi = min(DPI, widest / width)
        made = Figure(figsize=(width, height), dpi=dpi, layout=layout)
        FigureCanvasAgg(made)
        yield made
        with replacing(path) as temporary, temporary.open("wb") as stream:
            # Without the version of the library, equal pictures are equal bytes.
            made.savefig(stream, format="png", metadata={"Software": None})


@contextmanager
def axes(path: Path, width: float, height: float, widest: float = WIDEST) -> Iterator[Axes]:
    """Give one pair of axes and save it as a PNG; `widest` as for `figure`."""
    with figure(path, width, height, widest=widest) as made:
        yield made.add_subplot()


def short(value: float, _: float = 0.0) -> str:
    """Write a tick of any size in a few letters: `250k`, `1.2M`, `0.05`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10.0 * size or (abs(value) >= size > 1e3):
            return f"{value / size:.3g}{letter}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−") if abs(value) < 1e3 else f"{value:,.0f}"


def short_ticks(axes: Axes) -> None:
    """Write both axes' ticks with `short`."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(short)


def per_cent(share: float, _: float) -> str:
    """Write a tick of a share, for matplotlib's axes."""
    return f"{100 * share:.3g} %"
