"""What the reports of the benchmarks share: shares in percent, and a page of four charts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HARDWARE = "2 shared cores"
INK, MUTED, BLUE, ORANGE, GRID = "#1f2933", "#6b7785", "#0b6e99", "#d9730d", "#e4e7eb"


def percent(share: float) -> str:
    """Return a share for people, small ones with two decimals."""
    return f"{100 * share:.2f} %" if share < 0.2 else f"{100 * share:.1f} %"


@contextmanager
def page(path: Path) -> Iterator[Any]:
    """Give four axes, 2 × 2, and write them to `path` as 968 × 770 pixels at the end."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": 11, "axes.titlesize": 12.5, "axes.titleweight": "bold",
        "axes.titlelocation": "left", "axes.edgecolor": MUTED, "axes.labelcolor": INK,
        "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
        "axes.spines.right": False, "axes.axisbelow": True, "figure.facecolor": "white",
        "legend.frameon": False, "font.family": "DejaVu Sans",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(8.8, 7.0), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.subplots(2, 2)
        figure.savefig(path, metadata={"Software": None})
