"""Part b: with as many labels as are asked for, a true gain is shown as often as planned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks import gate_verdict as gate
from benchmarks.gate_cells import Cell
from mlops.core.paired import labels_needed
from mlops.core.rules import level

PART = "power"
TOLERANCE = 0.015
"""`labels_needed` is the textbook's normal formula; the gate moves half a row against the
candidate and asks two tests, which costs up to this much of the power where rows are few."""

CASES = (
    (0.05, 0.03, 0.0), (0.15, 0.03, 0.0), (0.15, 0.05, 0.0), (0.15, 0.1, 0.0), (0.3, 0.05, 0.0),
    (0.3, 0.1, 0.0), (0.05, 0.0, 0.03), (0.15, 0.0, 0.03), (0.15, 0.03, 0.03), (0.3, 0.03, 0.03),
)  # fmt: skip
"""Share of rows that differ, true gain, margin."""

CURVE = (0.15, 0.05, 0.0)  # no margin: both variances of the formula are one
TIMES = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.25, 1.5)


@dataclass(frozen=True)
class Point:
    """Power at so many rows: planned by the formula, and simulated."""

    rows: int
    planned: float
    simulated: float


def planned(rows: int) -> float:
    """Return the power at so many rows that `labels_needed` reckons with, in the curve's case."""
    differing, gain, margin = CURVE
    z = float(stats.norm.isf(level(gate.ALPHA, 1)))
    return float(stats.norm.cdf(math.sqrt(rows / differing) * (gain + margin) - z))


def needed(differing: float, gain: float, margin: float) -> int:
    """Return the rows that the gate would ask for at a first look."""
    return labels_needed(
        differing, alpha=level(gate.ALPHA, 1), power=gate.RULES.power, effect=gain, margin=margin
    )


def at_plan(differing: float, gain: float, margin: float, trials: int) -> Cell:
    """Simulate candidates with a known gain at the rows that are asked for."""
    rows = needed(differing, gain, margin)
    hits = _hits(rows, differing, gain, margin, trials)
    name = (
        f"+{100 * gain:.0f} pp, margin {100 * margin:.0f} pp, {100 * differing:.0f} % differ: "
        f"{rows} rows"
    )
    return Cell(PART, name, hits, trials, gate.RULES.power - TOLERANCE, at_least=True)


def curve(trials: int) -> list[Point]:
    """Simulate one known gain at more and fewer rows."""
    differing, gain, margin = CURVE
    every = [round(needed(*CURVE) * times) for times in TIMES]
    return [Point(n, planned(n), _hits(n, differing, gain, margin, trials) / trials) for n in every]


def _hits(rows: int, differing: float, gain: float, margin: float, trials: int) -> int:
    rng = np.random.default_rng([4, rows])
    shares = [(differing + gain) / 2.0, (differing - gain) / 2.0, 1.0 - differing]
    gained, lost, _ = rng.multinomial(rows, shares, size=trials).T
    return int(gate.promoted(gained, lost, rows, margin, level(gate.ALPHA, 1)).sum())
