"""What the gate's benchmark found: figures as JSON, a table in docs/gate.md, a picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import gate_peers, gate_power
from benchmarks.gate_cells import broken, worst
from benchmarks.page import BLUE, GRID, HARDWARE, MUTED, ORANGE, page, percent

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.gate_cells import Cell
    from benchmarks.gate_looks import Series
    from benchmarks.gate_power import Point

MARKS = ("<!-- measured: python benchmarks/gate.py -->", "<!-- end -->")


@dataclass
class Findings:
    """Everything that was simulated.

    Attributes:
        parts: cells of each part.
        curve: power at more and fewer rows.
        series: looks, paid and unpaid.
        peers: world → rule → wrong promotions per history.
        better: rule → how often it promotes a candidate 3 points better.
        seconds: that it took.
    """

    parts: dict[str, list[Cell]] = field(default_factory=dict)
    curve: list[Point] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    peers: dict[str, dict[str, float]] = field(default_factory=dict)
    better: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Cell]:
        """Cells whose limit does not hold, Holm's method within each part."""
        return [cell for cells in self.parts.values() for cell in broken(cells)]

    @property
    def nearest(self) -> Cell:
        """The cell that is nearest its limit, or farthest beyond it."""
        return worst([cell for cells in self.parts.values() for cell in cells])


def write_json(path: Path, found: Findings) -> None:
    """Write every cell with its bound, and the curves."""
    cells = [
        {"part": c.part, "name": c.name, "rate": c.rate, "bound": round(c.bound, 6),
         "limit": c.limit, "n": c.trials, "exact": c.exact and round(c.exact, 7),
         "claimed": c.claimed}
        for part in found.parts.values() for c in part
    ]  # fmt: skip
    whole: dict[str, Any] = {
        "hardware": HARDWARE, "seconds": round(found.seconds),
        "curve": [asdict(p) for p in found.curve], "peers": found.peers, "better": found.better,
    }  # fmt: skip
    lines = ",\n".join("  " + json.dumps(c, ensure_ascii=False) for c in cells)
    head = json.dumps(whole, ensure_ascii=False)[:-1]
    path.write_text(f'{head}, "cells": [\n{lines}\n]}}\n')


def write_table(path: Path, found: Findings) -> None:
    """Put the measured tables between the marks of a Markdown page."""
    text = path.read_text()
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    path.write_text(f"{before}{MARKS[0]}\n{table(found)}\n{MARKS[1]}{after}")


def table(found: Findings) -> str:
    """Return the worst cell of each claim, and the peers, as Markdown."""
    rows = [
        "| claim | cells | worst cell | rate | 95 % bound | limit |",
        "|---|---|---|---|---|---|",
    ]
    for part, cells in found.parts.items():
        for kind in dict.fromkeys(_kind(c) for c in cells if c.claimed):
            alike = [c for c in cells if c.claimed and _kind(c) == kind]
            c = worst(alike)
            sign = "≥" if c.at_least else "≤"
            rows.append(
                f"| {part}{f', {kind}' if kind else ''} | {len(alike)} | "
                f"{c.name.removeprefix(f'{kind}: ')}, n = {c.trials:,} | {percent(c.rate)} | "
                f"{percent(c.bound)} | {sign} {percent(c.limit)} |"
            )
    head = f"wrong promotions per {gate_peers.CANDIDATES} candidates, none better"
    rows += ["", "| " + " | ".join((head, *gate_peers.RULES)) + " |"]
    rows += ["|---|" + "---|" * len(gate_peers.RULES)]
    rows += [
        f"| {world} | " + " | ".join(f"{count[r]:.2f}" for r in gate_peers.RULES) + " |"
        for world, count in found.peers.items()
    ]
    shares = " | ".join(percent(found.better[r]) for r in gate_peers.RULES)
    return "\n".join([*rows, f"| *finds one that is 3 pp better, 4 % differ* | {shares} |"])


def _kind(cell: Cell) -> str:
    return cell.name.split(":")[0] if cell.part.startswith("false ") else ""


def draw(path: Path, found: Findings) -> None:
    """Draw levels, power, looks and peers on one page of 968 × 770 pixels."""
    with page(path) as ((levels, power), (looks, peers)):
        _levels(levels, found.parts["false promotions"])
        _power(power, found.curve)
        _looks(looks, found.series)
        _peers(peers, found.peers)


def _levels(axes: Axes, cells: list[Cell]) -> None:
    kinds = list(dict.fromkeys(_kind(c) for c in cells))
    rng = np.random.default_rng(0)
    for place, kind in enumerate(kinds):
        ratio = [c.ratio for c in cells if _kind(c) == kind]
        at = place + rng.uniform(-0.18, 0.18, len(ratio))
        axes.scatter(ratio, at, s=26, color=BLUE, alpha=0.65, linewidths=0)
    axes.axvline(1.0, color=ORANGE, linewidth=2)
    axes.text(0.98, -0.62, "what the look may spend", color=ORANGE, ha="right", fontsize=10)
    words = [
        fill(kind.removeprefix("the ").replace("independent", "single rows"), 18) for kind in kinds
    ]
    axes.set_yticks(range(len(kinds)), words, fontsize=9)
    axes.set(ylim=(len(kinds) - 0.5, -1.0), xlim=(0, 1.25), xlabel="wrong promotions / level")
    axes.set_title("Wrong promotions per look")
    axes.grid(axis="x", color=GRID)


def _power(axes: Axes, curve: list[Point]) -> None:
    rows = np.linspace(curve[0].rows, curve[-1].rows, 100)
    planned = [gate_power.planned(int(n)) for n in rows]
    axes.plot(rows, planned, color=MUTED, linewidth=2, label="planned")
    axes.plot([p.rows for p in curve], [p.simulated for p in curve], "o", color=BLUE,
              label="simulated")  # fmt: skip
    asked = gate_power.needed(*gate_power.CURVE)
    axes.axvline(asked, color=ORANGE, linewidth=1.5, linestyle="--")
    axes.text(asked - 10, 0.04, f"{asked} rows asked for", color=ORANGE, ha="right", fontsize=10)
    axes.set(ylim=(0, 1), xlabel="labelled rows", ylabel="promoted")
    axes.set_title(f"A gain of {100 * gate_power.CURVE[1]:.0f} points is found")
    axes.legend(loc="upper left", fontsize=10)
    axes.grid(color=GRID)


def _looks(axes: Axes, series: list[Series]) -> None:
    for one, style in zip((series[0], series[2]), ("-", "--"), strict=True):
        kind = "50 candidates" if "candidates" in one.name else "one candidate"
        at = np.arange(1, len(one.paid) + 1)
        axes.plot(at, 100 * one.unpaid, style, color=ORANGE, linewidth=2)
        axes.plot(at, 100 * one.paid, style, color=BLUE, linewidth=2)
        words, above = f"{kind}, unpaid", 100 * one.unpaid[-1] + 1.5
        axes.text(at[-1], above, words, color=ORANGE, ha="right", va="bottom", fontsize=10)
    last = len(series[0].paid)
    axes.axhline(5.0, color=MUTED, linewidth=1)
    axes.text(last, 5.4, "α = 5 %", color=MUTED, ha="right", va="bottom", fontsize=10)
    axes.text(last - 12, 5.4, "paid: both below", color=BLUE, ha="right", va="bottom", fontsize=10)
    axes.set(xlabel="looks at the same rows", ylabel="histories gone wrong, %", ylim=(0, 55))
    axes.set_title("Every look is paid for")
    axes.grid(color=GRID)


def _peers(axes: Axes, peers: dict[str, dict[str, float]]) -> None:
    worlds = [w for w in peers if w.startswith("equal") and "same rows" in w]
    for k, world in enumerate(worlds):
        for place, rule in enumerate(gate_peers.RULES):
            value, at = peers[world][rule], place + 0.38 * (k - 0.5)
            colour = BLUE if rule == gate_peers.OURS else ORANGE
            axes.barh(at, value, 0.34, color=colour, alpha=(1.0, 0.55)[k])
            axes.text(value + 0.6, at, f"{value:.2f}", va="center", fontsize=9)
    axes.set_yticks(range(len(gate_peers.RULES)), gate_peers.RULES, fontsize=10)
    axes.invert_yaxis()
    axes.set(xlim=(0, 56), xlabel=f"promoted of {gate_peers.CANDIDATES}, none better")
    axes.set_title("Other rules, same history")
    shares = [world.split(", ")[1].removesuffix(" differ") for world in worlds]
    words = f"models differ on {shares[0]} of rows (dark),\n{shares[1]} (pale)"
    axes.text(1.0, 0.98, words, transform=axes.transAxes, ha="right", va="top", fontsize=9)
    axes.grid(axis="x", color=GRID)
