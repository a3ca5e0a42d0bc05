"""Clean windows: how often each detector cries wolf, and how much that hangs on the reference."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import drift_peers as peers
from benchmarks.drift_worlds import DEPENDENCES, ENTITIES, World
from benchmarks.gate_cells import Cell
from mlops.core.alarm import Rule
from mlops.core.calibration import Rules, calibrate
from mlops.core.continuous import SHARE, Detector, alarms, incidents, limit
from mlops.core.drift import presort, statistics
from mlops.core.relations import relate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.thresholds import Thresholds

LEVEL = 0.05  # budgeted alarms per window, of a rule of one window
PART, WHOLE, CONTINUOUS = "false alarms", "false incidents", "continuous mode"
ROWS, WIDTHS = (50, 200, 1000, 10_000), (5, 20, 64)
_STREAMS, _WINDOWS = 20, 200  # of the calibration of one window: it is done 72,000 times
_MANY = (200, 800)  # where references differ most, more of them are drawn; monitoring draws 500
_PEERS_EVERY = 5  # replicates of which one is shown to the other detectors
_BUDGET_WINDOWS = 100  # of the complete rule: one incident in so many
_RATE = 1 / _BUDGET_WINDOWS
_STREAM = 100
SINGLE, RULE = Rule(1, 1, 1), Rule(2, 3, 2)
_WHOLE_ROWS, _WHOLE_WIDTH = 100, 20


def worlds(rows: tuple[int, ...], widths: tuple[int, ...]) -> list[World]:
    """Return every combination, the costliest first."""
    found = [World(n, d, dep) for n in rows for d in widths for dep in DEPENDENCES]
    return sorted(found, key=lambda w: -w.rows * w.width)


def count(world: World, first: int, trials: int) -> Counter[str]:
    """Count alarms of clean windows, each with a reference of its own.

    Args:
        world: where the rows come from.
        first: number of the first replicate, of which the seed is made.
        trials: replicates.
    """
    found: Counter[str] = Counter()
    for replicate in range(first, first + trials):
        rng = np.random.default_rng([world.rows, world.width, len(world.dependence), replicate])
        (plain, key), window = world.reference(rng), world.draw(rng, world.rows)
        relations, reference = relate(plain, key)
        streams, windows = _MANY if world.dependence == ENTITIES else (_STREAMS, _WINDOWS)
        rules = Rules(world.rows, LEVEL, 1, 0.0, streams, replicate, SINGLE, windows)
        made = calibrate(reference, rules, in_order=True, key=key)
        values = statistics(presort(reference), relations.extend(window))
        found["ours"] += bool((values >= made.at(world.rows)).any())
        found["uncalibrated"] += not made.calibrated
        if replicate % _PEERS_EVERY == 0:
            found["shown"] += 1
            found.update({k for k, v in peers.verdicts(peers.prepare(plain), window).items() if v})
    return found


def cell(world: World, found: Counter[str], trials: int) -> Cell:
    """Return ours; its limit is the budget."""
    return Cell(PART, world.name, found["ours"], trials, LEVEL)


def stream(dependence: str, replicate: int) -> tuple[NDArray[np.bool_], list[float]]:
    """Draw a reference and a clean stream of windows that follow each other.

    Returns:
        Whether each alarms, at the thresholds of the rule over windows, and their p-values.
    """
    world = World(_WHOLE_ROWS, _WHOLE_WIDTH, dependence)
    rng = np.random.default_rng([2, len(dependence), replicate])
    plain, key = world.reference(rng)
    relations, reference = relate(plain, key)
    rules = Rules(_WHOLE_ROWS, 1.0 - SHARE, _BUDGET_WINDOWS, 0.0, 100, replicate, RULE, 8000)
    made: Thresholds = calibrate(reference, rules, in_order=True, key=key)
    ready = presort(reference)
    rows = relations.extend(world.draw(rng, _STREAM * _WHOLE_ROWS))
    cut = [rows.take(slice(i * _WHOLE_ROWS, (i + 1) * _WHOLE_ROWS)) for i in range(_STREAM)]
    values = [statistics(ready, window) for window in cut]
    over = np.array([(v >= made.at(_WHOLE_ROWS)).any() for v in values])
    return over, [made.p_value(v, _WHOLE_ROWS) for v in values]


def whole(dependence: str, first: int, streams: int) -> tuple[list[int], list[int], list[float]]:
    """Return each stream's incidents, alarms of evidence alone, and share of windows over."""
    detector = Detector(limit(SHARE * _RATE))
    opened, continuous, share = [], [], []
    for replicate in range(first, first + streams):
        over, p = stream(dependence, replicate)
        opened.append(incidents(RULE, detector, over.tolist(), p))
        continuous.append(len(alarms(detector, p)))
        share.append(float(over.mean()))
    return opened, continuous, share


def whole_cells(dependence: str, opened: list[int], continuous: list[int]) -> list[Cell]:
    """Return the cells of a dependence: incidents of the complete rule, at most the budget.

    Of evidence alone they are at most its share of the budget.

    A stream's incidents depend on each other through its reference; a binomial bound over
    windows is then too narrow by the spread of the streams, and the trials are cut by it.
    """
    out = []
    for part, counts, most in ((WHOLE, opened, _RATE), (CONTINUOUS, continuous, SHARE * _RATE)):
        n = np.array(counts)
        design = max(float(n.var(ddof=1) / max(n.mean(), 1e-9)), 1.0) if n.any() else 1.0
        trials = round(len(n) * _STREAM / design)
        out.append(Cell(
            part, f"{_WHOLE_ROWS} rows × {_WHOLE_WIDTH} columns, {dependence}",
            round(n.sum() / design), trials, most,
        ))  # fmt: skip
    return out
