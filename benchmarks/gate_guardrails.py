"""Parts a and b for guardrails: a loss of just the margin passes no more often than its level.

The loss is made to be missed: it lies on few rows, or on the rarest class. Rows are single, or
alike in keys of five. `mlops.core.noninferiority.non_inferior` is asked itself.

Run alone: python benchmarks/gate_guardrails.py [REPLICATES]
"""

from __future__ import annotations

import math
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from benchmarks import gate_power
from benchmarks import gate_verdict as gate
from benchmarks.gate_cells import Cell, broken, line, worst
from benchmarks.gate_guardrail_worlds import MIXES, Setting, equal, maker
from mlops.core import influence, metrics
from mlops.core.noninferiority import NAMED, WORST, non_inferior
from mlops.core.reach import rows_needed
from mlops.core.rules import level
from mlops.core.unseen import below, cautious_bounds
from mlops.core.wanted import Levels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.exam import Paired

PART = "false passes of a guardrail"
ROWS = (60, 200, 500)
SHARES = (0.01, 0.02, 0.05, 0.2)  # of the rows, on which all of the loss lies
POWER = (
    ("log_loss", 0.1), ("brier", 0.05), ("balanced_accuracy", 0.05), ("f1_macro", 0.05),
    ("roc_auc", 0.05),
)  # fmt: skip
_LEVELS = Levels(level(gate.ALPHA, 1), level(gate.ALPHA, 1), gate.RULES.power)
_MANY = 200_000  # rows from which a variance is known well enough
_CHECKED = 20  # replicates per cell that are asked without screening, too
_PARTS = {
    "balanced_accuracy": influence.balanced_accuracy, "f1_macro": influence.f1_macro,
    "roc_auc": influence.roc_auc,
}  # fmt: skip

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def settings(rows: tuple[int, ...]) -> Iterator[Setting]:
    """Return every cell: a loss of log loss of 10 nats a row at most, of Brier's score of 2."""
    for n in rows:
        for each in (1, 5):
            yield from (Setting("log_loss", 0.1, n, each, share) for share in SHARES)
            yield from (Setting("brier", 0.1, n, each, share) for share in SHARES[2:])
            yield from (Setting("base_mae", 0.05, n, each, share) for share in SHARES)
            for metric in ("balanced_accuracy", "f1_macro"):
                for margin in (0.02, 0.05):
                    yield from (Setting(metric, margin, n, each, mix) for mix in MIXES)
            for margin in (0.02, 0.05):
                yield Setting("roc_auc", margin, n, each, "2 classes, 1 of 10")


def level_kept(setting: Setting, trials: int) -> Cell:
    """Simulate candidates that lose just the margin."""
    rng = np.random.default_rng([9, setting.rows, setting.each, len(setting.words)])
    make, hits = maker(setting), 0
    for trial in range(trials):
        rows = make(rng)
        found = passes(setting, rows)
        if trial < _CHECKED:
            assert found == passes(setting, rows, screen=False), "screening is no proof"
        hits += found
    return Cell(PART, setting.words, hits, trials, _LEVELS.alpha)


def passes(setting: Setting, rows: Paired, *, screen: bool = True) -> bool:
    """Ask the guardrail, unless the two tests of which it takes the stricter say that it fails.

    Those are cheap, where the bounds themselves are not; `screen=False` asks in any case.
    """
    if screen:
        value_N, (least, _), _ = gain(setting, rows)
        total_G = value_N.reshape(-1, setting.each).sum(axis=1)
        error = total_G.std(ddof=1) * math.sqrt(len(total_G))
        if total_G.sum() <= _quantile(len(total_G) - 1) * error or not math.isfinite(least):
            return False
        gap = np.append(total_G, setting.each * least)
        if gap.min() < 0.0 < gap.max() and below(gap) >= special.ndtri(_LEVELS.alpha):
            return False
    check, _ = non_inferior(setting.metric, setting.margin, rows, gate.RULES, _LEVELS)
    return check.passed is True


def power_kept(metric: str, margin: float, trials: int) -> Cell:
    """Simulate equal models at the rows that `rows_needed` asks for."""
    setting = Setting(metric, margin, _MANY, 1, "")
    value_N, (least, most), rarest = gain(setting, equal(np.random.default_rng(10), _MANY))
    every = np.arange(_MANY, dtype=np.uint64)
    one = cautious_bounds(value_N, every, (least, most), _LEVELS.alpha, rarest).one
    assert one is not None
    rows, hits = rows_needed(one, margin, _LEVELS.alpha, _LEVELS.power), 0
    rng = np.random.default_rng([12, rows])
    for _ in range(trials):
        hits += passes(setting, equal(rng, rows))
    name = f"equal in {NAMED[metric].words}, margin {margin:g}: {rows} rows"
    limit = _LEVELS.power - gate_power.TOLERANCE
    return Cell(gate_power.PART, name, hits, trials, limit, at_least=True)


def gain(setting: Setting, rows: Paired) -> tuple[Floats, tuple[float, float], Flags | None]:
    """Return what is gained on each row, plus the margin, the least and the most of it.

    And the rows of the rarest class, if their number matters.
    """
    assert rows.candidate is not None
    assert rows.champion is not None
    label, ours, theirs = rows.label, rows.candidate, rows.champion
    rarest: Flags | None = None
    if setting.metric == "base_mae":
        lost, before = (np.abs(p[:, 1] - label) for p in (ours, theirs))
        value_N = ((1.0 + setting.margin) * before - lost) / before.mean()
        return np.asarray(value_N, dtype=np.float64), (-WORST, WORST), rarest
    if setting.metric in _PARTS:
        found = _PARTS[setting.metric](label, ours, theirs)
        value_N, (least, most), rarest = found.value, found.span, found.rarest
    else:
        loss = metrics.row_log_loss if setting.metric == "log_loss" else metrics.row_brier
        most = NAMED[setting.metric].most
        value_N, least = loss(label, theirs) - loss(label, ours), -most
    return value_N + setting.margin, (least + setting.margin, most + setting.margin), rarest


@cache
def _quantile(degrees: int) -> float:
    return float(stats.t.isf(_LEVELS.alpha, degrees))


def main(arguments: list[str]) -> int:
    """Simulate these cells alone, and print them; return 1 if a limit does not hold."""
    trials = int(arguments[0]) if arguments else 10_000
    with ProcessPoolExecutor(2) as pool:
        levels = [pool.submit(level_kept, setting, trials) for setting in settings(ROWS)]
        powers = [pool.submit(power_kept, *one, max(trials // 5, 10)) for one in POWER]
        parts = [[future.result() for future in waiting] for waiting in (levels, powers)]
    print(*(line(cell) for cells in parts for cell in cells), sep="\n")
    failed = [cell for cells in parts for cell in broken(cells)]
    for cells in parts:
        print(f"worst cell: {worst(cells).name}: {worst(cells).rate:.5f}")
    print(f"{len(failed)} limits BROKEN" if failed else "all limits hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
