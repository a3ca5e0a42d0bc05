"""Whether the gate's statistics keep what they say, in simulated histories.

Limits that it checks, each with a cell's simulated rate, its replicates and a one-sided exact
binomial bound, and Holm's method over the cells of a part:
a. At the margin's boundary a look promotes no more often than its level: alpha / (i (i + 1)) for
   the i-th, so that a series adds up to alpha = 0.05. Independent rows, n = 1,000,000 pairs of
   models a cell, and by enumeration; rows that are alike in keys or stretches of time, n = 20,000;
   errors of numbers, normal, heavy-tailed and skewed, n = 20,000; the whole gate, n = 10,000.
   The primary test is the gate's own, 2000 bootstrap resamples. A loss of just its margin passes a
   guardrail no more often than its level, n = 10,000.
b. With the labels that are asked for, a true gain is shown with power 0.8, less 1.5 points at most;
   errors of numbers also where 60, 100 or 300 rows are all that is known when they are asked for.
c. The 95 % intervals of evaluation, 1000 resamples, hold the truth in 93 of 100 cases where 25
   mistakes or more are expected; where fewer are it is reported, not claimed, and nothing is
   claimed for the calibration error.
d. 50 looks at the same rows promote wrongly in 5 % of histories at most, and one look at the best
   of 20 by the test rows no more often than its level, n = 100,000 histories.
e. On the same histories other rules promote wrongly many times, this gate in at most 5 %.

Hardware: 2 cores; 24 minutes beside much other work. Seeds are fixed: the same numbers each time.
Writes benchmarks/gate.json, docs/gate.png and the table of docs/gate.md; `--quick` takes seconds,
simulates less and writes nothing. Exits 1 if a limit does not hold.

Run: python benchmarks/gate.py [--quick]
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores already

from benchmarks import (
    gate_coverage,
    gate_errors,
    gate_guardrails,
    gate_levels,
    gate_looks,
    gate_peers,
    gate_power,
    gate_report,
    gate_verdict,
)
from benchmarks.gate_cells import Cell, broken, line, worst

PROCESSES = 2
_CHUNKS = 2  # of each number of rows whose coverage is counted


@dataclass(frozen=True)
class Plan:
    """How much is simulated: replicates of each part, and which rows and looks."""

    independent: int
    dependent: int
    judged: int
    power: int
    coverage: tuple[tuple[str, int, int], ...]
    looks: int
    ledger: int
    histories: int
    rows: tuple[int, ...]
    dependent_rows: tuple[int, ...]
    at_looks: tuple[int, ...]
    cases: int
    number_of_looks: int
    errors: int
    error_rows: tuple[int, ...]
    error_power: int
    error_coverage: tuple[tuple[str, int, int], ...]
    guardrails: int
    guardrail_rows: tuple[int, ...]
    guardrail_power: int


_WEAK, _STRONG = gate_coverage.MODELS
_COVERAGE = (
    (_WEAK, 60, 1200), (_WEAK, 200, 1200), (_WEAK, 1000, 2000), (_STRONG, 200, 800),
    (_STRONG, 1000, 400),
)  # fmt: skip

FULL = Plan(
    independent=1_000_000, dependent=20_000, judged=10_000, power=100_000,
    coverage=_COVERAGE, looks=10_000, ledger=40, histories=4000,
    rows=gate_levels.ROWS, dependent_rows=(300, 1000), at_looks=(1, 10),
    cases=len(gate_power.CASES), number_of_looks=gate_looks.LOOKS,
    errors=20_000, error_rows=gate_errors.ROWS, error_power=4000,
    error_coverage=tuple((shape, n, 1200) for shape in gate_errors.SHAPES for n in (200, 1000)),
    guardrails=10_000, guardrail_rows=gate_guardrails.ROWS, guardrail_power=2000,
)  # fmt: skip
QUICK = Plan(
    independent=20_000, dependent=150, judged=60, power=4000, coverage=((_WEAK, 200, 4),),
    looks=400, ledger=1, histories=10, rows=(60,), dependent_rows=(300,), at_looks=(1,), cases=1,
    number_of_looks=3, errors=60, error_rows=(60,), error_power=20,
    error_coverage=(("normal", 200, 4),), guardrails=40, guardrail_rows=(60,), guardrail_power=20,
)  # fmt: skip


def levels(pool: ProcessPoolExecutor, plan: Plan) -> list[Cell]:
    """Part a."""
    waiting: list[Future[Cell]] = [
        pool.submit(gate_levels.dependent, name, setting, plan.dependent)
        for name in gate_levels.LAYOUTS
        for setting in gate_levels.settings(plan.dependent_rows, (1,))
    ]
    waiting += [
        pool.submit(gate_levels.independent, setting, plan.independent)
        for setting in gate_levels.settings(plan.rows, plan.at_looks)
    ]
    waiting += [
        pool.submit(gate_errors.level_kept, *setting, plan.errors)
        for setting in gate_errors.settings(plan.error_rows)
    ]
    gate = gate_levels.Setting(120, 0.3, 0.0)
    waiting += [
        pool.submit(gate_levels.whole_gate, gate, plan.judged // 2, seed) for seed in (1, 2)
    ]
    assert gate_levels.every_table(60, 12) == 0, "counts do not decide alone"
    *cells, first, second = (future.result() for future in waiting)
    both = Cell(
        first.part, first.name, first.hits + second.hits, first.trials + second.trials, first.limit
    )
    return [*cells, both]


def guardrails(pool: ProcessPoolExecutor, plan: Plan) -> list[Cell]:
    """Part a of what may only turn a promotion down."""
    every = gate_guardrails.settings(plan.guardrail_rows)
    waiting = [pool.submit(gate_guardrails.level_kept, one, plan.guardrails) for one in every]
    return [future.result() for future in waiting]


def power(pool: ProcessPoolExecutor, plan: Plan, found: gate_report.Findings) -> list[Cell]:
    """Part b."""
    cases = gate_power.CASES[-plan.cases :]
    waiting = [pool.submit(gate_power.at_plan, *case, plan.power) for case in cases]
    waiting += [
        pool.submit(gate_errors.power_kept, shape, 0.9, margin, gain, plan.error_power)
        for shape in gate_errors.SHAPES if plan is FULL or shape == "normal"
        for margin, gain in ((0.0, 0.05), (gate_verdict.MARGIN, 0.03))
    ]  # fmt: skip
    waiting += [
        pool.submit(gate_errors.power_kept, shape, tie, 0.0, 0.1, plan.error_power // 2, seen=seen)
        for shape in gate_errors.SHAPES if plan is FULL or shape == "skewed"
        for tie in gate_errors.TIES if plan is FULL or tie > 0.5
        for seen in (gate_errors.SEEN if plan is FULL else gate_errors.SEEN[:1])
    ]  # fmt: skip
    waiting += [
        pool.submit(gate_guardrails.power_kept, *one, plan.guardrail_power)
        for one in (gate_guardrails.POWER if plan is FULL else gate_guardrails.POWER[:1])
    ]
    if plan is FULL:
        found.curve = pool.submit(gate_power.curve, plan.power).result()
    return [future.result() for future in waiting]


def coverage(pool: ProcessPoolExecutor, plan: Plan) -> list[Cell]:
    """Part c."""
    models = dict.fromkeys(model for model, *_ in plan.coverage)
    known = {m: pool.submit(gate_coverage.truth, m) for m in models}
    true = {model: future.result() for model, future in known.items()}
    waiting = {
        (model, rows, trials): [
            pool.submit(gate_coverage.cover, model, rows, trials // _CHUNKS, first, true[model])
            for first in range(0, trials, trials // _CHUNKS)
        ]
        for model, rows, trials in plan.coverage
    }
    errors = [pool.submit(gate_errors.covered, *case) for case in plan.error_coverage]
    cells = [cell for future in errors for cell in future.result()]
    for (model, rows, trials), chunks in waiting.items():
        inside: Counter[str] = Counter()
        for chunk in chunks:
            inside.update(chunk.result())
        cells += gate_coverage.cells(model, rows, trials, inside, true[model]["accuracy"])
    return cells


def looks(pool: ProcessPoolExecutor, plan: Plan, found: gate_report.Findings) -> list[Cell]:
    """Part d."""
    many = plan.number_of_looks
    many_wait = pool.submit(gate_looks.many_candidates, plan.looks, gate_peers.ROWS, many)
    waiting = [pool.submit(gate_looks.one_candidate, m, plan.looks, many) for m in (0.0, 0.03)]
    wrong = pool.submit(gate_looks.ledger_agrees, plan.ledger, many).result()
    assert wrong == 0, f"{wrong} verdicts of the whole gate differ from those simulated"
    found.series = [*(future.result() for future in waiting), *many_wait.result()]
    cells = [cell for series in found.series for cell in series.cells()]
    return [*cells, *gate_looks.best_of(10 * plan.looks, gate_peers.ROWS)]


def peers(pool: ProcessPoolExecutor, plan: Plan, found: gate_report.Findings) -> list[Cell]:
    """Part e."""
    worlds = [gate_peers.World(0.15, 0.0), gate_peers.World(0.04, 0.0)]
    if plan is FULL:
        worlds += [gate_peers.World(0.15, -0.01), gate_peers.World(0.04, -0.01)]
        worlds += [gate_peers.World(0.04, 0.0, fresh=True)]
    waiting = [pool.submit(gate_peers.histories, world, plan.histories) for world in worlds]
    found.better = gate_peers.found_better(0.04, 0.03, plan.histories)
    cells: list[Cell] = []
    for world, future in zip(worlds, waiting, strict=True):
        count, trials = future.result()
        found.peers[world.words] = {rule: float(n.mean()) for rule, n in count.items()}
        cells += gate_peers.cells(world, count, trials)
    return cells


def main(arguments: list[str]) -> int:
    """Simulate, print, write; return 1 if a limit does not hold."""
    quick = "--quick" in arguments
    plan, found, started = QUICK if quick else FULL, gate_report.Findings(), time.monotonic()
    with ProcessPoolExecutor(PROCESSES) as pool:
        for name, part in (
            (gate_levels.PART, lambda: levels(pool, plan)),
            (gate_guardrails.PART, lambda: guardrails(pool, plan)),
            (gate_power.PART, lambda: power(pool, plan, found)),
            (gate_coverage.PART, lambda: coverage(pool, plan)),
            (gate_looks.PART, lambda: looks(pool, plan, found)),
            (gate_peers.PART, lambda: peers(pool, plan, found)),
        ):
            cells = found.parts[name] = part()
            print(*(line(c) for c in cells), sep="\n")
            far = worst(cells)
            print(
                f"{name}: {len(cells)} cells, {len(broken(cells))} broken, worst {far.name} with "
                f"{far.rate:.5f} of {far.limit:.5f}; {time.monotonic() - started:.0f} s",
                flush=True,
            )
    found.seconds = time.monotonic() - started
    print(gate_report.table(found))
    if not quick:
        gate_report.write_json(ROOT / "benchmarks/gate.json", found)
        gate_report.draw(ROOT / "docs/gate.png", found)
        gate_report.write_table(ROOT / "docs/gate.md", found)
    c, failed = found.nearest, found.failed
    sign = "at least" if c.at_least else "at most"
    print(
        f"worst cell: {c.part}, {c.name}: {c.rate:.5f}, {sign} {c.limit:.5f} allowed "
        f"(n = {c.trials:,}); {f'{len(failed)} limits BROKEN' if failed else 'all limits hold'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
