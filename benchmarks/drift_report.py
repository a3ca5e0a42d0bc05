"""What the drift benchmark found: figures as JSON, tables in docs/drift.md, a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import drift_levels, drift_peers, drift_power
from benchmarks.drift_power import OURS
from benchmarks.drift_worlds import DEPENDENCES
from benchmarks.page import BLUE, GRID, HARDWARE, MUTED, ORANGE, page, percent
from mlops.core.paired import holm

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.drift_power import Power
    from benchmarks.drift_worlds import Shift
    from benchmarks.gate_cells import Cell

LEVEL = 0.01  # of all cells of a part together, by Holm
MARKS = ("<!-- measured: python benchmarks/drift.py -->", "<!-- end -->")
_PEERS = (drift_peers.BONFERRONI, drift_peers.ANY, drift_peers.HEADLINE)


@dataclass
class Findings:
    """Everything that was simulated.

    Attributes:
        parts: cells of each part.
        others: cell → detector → its rate on the cell's clean windows.
        spread: dependence → quantiles .1, .5, .9 and 1 of the references' alarm rates.
        power: power on corrupted digits.
        delay: shift → median windows of 100 rows until the incident.
        seconds: that it took.
    """

    parts: dict[str, list[Cell]] = field(default_factory=dict)
    others: dict[str, dict[str, float]] = field(default_factory=dict)
    spread: dict[str, list[float]] = field(default_factory=dict)
    power: list[Power] = field(default_factory=list)
    delay: dict[Shift, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Cell]:
        """Cells beyond their limit by more than chance explains, Holm's method at 1 % a part."""
        out = []
        for cells in self.parts.values():
            adjusted = holm([c.p_value for c in cells])
            out += [c for c, p in zip(cells, adjusted, strict=True) if p <= LEVEL]
        return out

    @property
    def nearest(self) -> Cell:
        """The cell that is nearest its limit, or farthest beyond it."""
        return max((c for cells in self.parts.values() for c in cells), key=lambda c: c.ratio)

    @property
    def telling(self) -> list[Power]:
        """Cells in which the best detector's power lies between .1 and .95."""
        return [p for p in self.power if p.counts]

    @property
    def near(self) -> float:
        """Share of those in which ours is within .05 of the best."""
        telling = self.telling
        return float(np.mean([p.behind <= drift_power.SLACK for p in telling])) if telling else 1.0


def write_json(path: Path, found: Findings) -> None:
    """Write every cell with its bound, what the others did, spread, power and delay."""
    cells = [
        {"part": c.part, "name": c.name, "rate": round(c.rate, 6), "bound": round(c.bound, 6),
         "limit": c.limit, "n": c.trials, "others": found.others.get(c.name, {})}
        for part in found.parts.values() for c in part
    ]  # fmt: skip
    power = [
        {"shift": p.shift.name, "rows": p.rows, **{k: round(v, 4) for k, v in p.power.items()}}
        for p in found.power
    ]
    whole: dict[str, Any] = {
        "hardware": HARDWARE, "seconds": round(found.seconds), "near_best": round(found.near, 4),
        "telling_cells": len(found.telling), "spread": found.spread,
        "delay": {shift.name: windows for shift, windows in found.delay.items()},
    }  # fmt: skip
    body = ",\n".join("  " + json.dumps(c, ensure_ascii=False) for c in cells)
    seen = ",\n".join("  " + json.dumps(p, ensure_ascii=False) for p in power)
    head = json.dumps(whole, ensure_ascii=False)[:-1]
    path.write_text(f'{head}, "cells": [\n{body}\n], "power": [\n{seen}\n]}}\n')


def write_table(path: Path, found: Findings) -> None:
    """Put the measured tables between the marks of a Markdown page."""
    before, _, rest = path.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    path.write_text(f"{before}{MARKS[0]}\n{table(found)}\n{MARKS[1]}{after}")


def table(found: Findings) -> str:
    """Return the limits checked, the others' false alarms, and the power, as Markdown."""
    rows = [
        "![False alarms, spread over references, power on corrupted digits, delay](drift.png)",
        "",
        "| limit checked | cells | worst cell | rate | 95 % bound | limit |",
        "|---|---|---|---|---|---|",
    ]
    for part, cells in found.parts.items():
        c = max(cells, key=lambda c: c.ratio)
        rows.append(
            f"| {part} | {len(cells)} | {c.name}, n = {c.trials:,} | {percent(c.rate)} | "
            f"{percent(c.bound)} | ≤ {percent(c.limit)} |"
        )
    rows += ["", "| alarms on clean windows, mean over cells | this | " + " | ".join(_PEERS) + " |"]
    rows += ["|---|---|" + "---|" * len(_PEERS)]
    for dependence in DEPENDENCES:
        alike = [c for c in found.parts[drift_levels.PART] if c.name.endswith(f", {dependence}")]
        own = np.mean([c.rate for c in alike])
        others = [np.mean([found.others[c.name].get(k, 0.0) for c in alike]) for k in _PEERS]
        rows.append(
            f"| {dependence} | " + " | ".join(percent(float(v)) for v in (own, *others)) + " |"
        )
    rows += ["", *_power_table(found)]
    return "\n".join(rows)


def _power_table(found: Findings) -> list[str]:
    telling = found.telling
    if not telling:
        return []
    names = list(telling[0].power)
    mean = [f"{np.mean([p.power[k] for p in telling]):.2f}" for k in names]
    near = [
        f"{np.mean([p.best - p.power[k] <= drift_power.SLACK for p in telling]):.0%}" for k in names
    ]
    return [
        f"| {len(telling)} telling cells of corrupted digits | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
        "| mean power at 5 % false alarms | " + " | ".join(mean) + " |",
        "| cells within .05 of the best | " + " | ".join(n.replace("%", " %") for n in near) + " |",
    ]


def draw(path: Path, found: Findings) -> None:
    """Draw false alarms, the references' spread, power and delay on one page."""
    with page(path) as ((levels, spread), (power, delay)):
        _levels(levels, found)
        _spread(spread, found.spread)
        _power(power, found.telling)
        _delay(delay, found.delay)


def _levels(axes: Axes, found: Findings) -> None:
    rng = np.random.default_rng(0)
    names = (OURS, *_PEERS)
    for place, name in enumerate(names):
        rates = [
            100 * (c.rate if name == OURS else found.others[c.name].get(name, 0.0))
            for c in found.parts[drift_levels.PART]
        ]
        colour = BLUE if name == OURS else ORANGE
        axes.scatter(rates, place + rng.uniform(-0.2, 0.2, len(rates)), s=22, color=colour,
                     alpha=0.6, linewidths=0)  # fmt: skip
    axes.axvline(100 * drift_levels.LEVEL, color=MUTED, linewidth=1.5)
    axes.set_yticks(range(len(names)), [n.replace(", ", ",\n") for n in names], fontsize=10)
    axes.invert_yaxis()
    axes.set(xscale="symlog", xlim=(0, 110), xlabel="% of clean windows that alarm")
    axes.set_xticks([0, 1, 5, 20, 100], ["0", "1", "5", "20", "100"])
    axes.set_title("Crying wolf: one dot per cell")
    axes.grid(axis="x", color=GRID)


def _spread(axes: Axes, spread: dict[str, list[float]]) -> None:
    for place, (low, middle, high, most) in enumerate(spread.values()):
        axes.plot([100 * low, 100 * high], [place, place], color=BLUE, linewidth=6, alpha=0.4)
        axes.plot([100 * middle], [place], "o", color=BLUE)
        axes.plot([100 * most], [place], "|", color=ORANGE, markersize=14)
        axes.text(100 * most, place - 0.12, " worst", color=ORANGE, fontsize=9, va="bottom")
    axes.set_yticks(range(len(spread)), list(spread))
    axes.set_ylim(len(spread) - 0.5, -0.6)
    right = 115 * max((most for *_, most in spread.values()), default=1.0)
    axes.set(xlabel="% of windows over the threshold", xlim=(0, right))
    axes.set_title("References differ (nine in ten)")
    axes.grid(axis="x", color=GRID)


def _power(axes: Axes, telling: list[Power]) -> None:
    if not telling:
        return
    names = list(telling[0].power)
    order = sorted(telling, key=lambda p: p.power[OURS])
    at = np.linspace(0, 1, len(order))
    for name in names[::-1]:
        own = name == OURS
        axes.plot(at, [p.power[name] for p in order], "o-" if own else "-", markersize=3,
                  color=BLUE if own else None, linewidth=2.2 if own else 1.1,
                  label=name)  # fmt: skip
    axes.set(ylim=(0, 1), xlabel="cells, hardest first", ylabel="power at 5 % false alarms")
    axes.set_xticks([])
    axes.set_title("Corrupted digits: what is found")
    axes.legend(fontsize=7, loc="upper left", labelspacing=0.15)
    axes.grid(color=GRID)


def _delay(axes: Axes, delay: dict[Shift, float]) -> None:
    names, shares = (dict.fromkeys(getattr(s, k) for s in delay) for k in ("corruption", "share"))
    styles = dict(zip(sorted(shares), ("--", "-"), strict=False))
    for number, name in enumerate(names):
        for share, style in styles.items():
            told = [(s.severity, v) for s, v in delay.items()
                    if (s.corruption, s.share) == (name, share)]  # fmt: skip
            nudge = 0.03 * (number - len(names) / 2)  # equal lines beside each other
            axes.plot([at + nudge for at, _ in told], [v + nudge for _, v in told], f"o{style}",
                      color=f"C{number}", markersize=3,
                      label=name if style == "-" else None)  # fmt: skip
    axes.axhline(2, color=MUTED, linewidth=1.5)
    axes.set(xlabel="severity", ylabel="windows until the incident, median", ylim=(0, None))
    axes.set_xticks(sorted({s.severity for s in delay}))
    axes.set_title("How soon, at 10 % (dashed: 5 %)")
    axes.legend(fontsize=7, loc="center right", labelspacing=0.15)
    axes.grid(color=GRID)
