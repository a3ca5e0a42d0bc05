"""Part d: a series of 50 verdicts on the same rows promotes wrongly no more often than alpha.

Paid: the i-th verdict has alpha / (i (i + 1)), see `mlops.core.rules.level`. Unpaid: each has
alpha, as in a gate that forgets what it has looked at. And what choosing the best of 20 does to one
look: by the rows that judge, as a report that showed them would let people, or by the test rows,
which is what `mlops evaluate` shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import gate_levels, gate_peers
from benchmarks import gate_verdict as gate
from benchmarks.gate_cells import Cell
from mlops.core.exam import Look
from mlops.core.gate import judge
from mlops.core.rules import level

if TYPE_CHECKING:
    from numpy.typing import NDArray

PART = "looks"
LOOKS = 50
FIRST, STEP = 60, 20  # rows at the first look, and more at each further one
DIFFERING = 0.15
CHOICE = 20  # candidates of whom the best is judged


@dataclass(frozen=True)
class Series:
    """Share of histories with a wrong promotion up to each look, float64 (LOOKS,)."""

    name: str
    paid: NDArray[np.float64]
    unpaid: NDArray[np.float64]
    trials: int

    def cells(self, most: float = gate.ALPHA) -> list[Cell]:
        """Return the paid series as a claim and the unpaid one beside it."""
        held = [("paid", self.paid, True), ("unpaid", self.unpaid, False)]
        return [
            Cell(PART, f"{self.name}, {word}", round(curve[-1] * self.trials), self.trials, most,
                 claimed=claimed)
            for word, curve, claimed in held
        ]  # fmt: skip


def one_candidate(margin: float, trials: int, looks: int = LOOKS) -> Series:
    """Judge the same candidate again and again while labels accumulate."""
    rng = np.random.default_rng([6, round(1000 * margin)])
    shares = gate_levels.Setting(FIRST, DIFFERING, margin).shares
    batches = [FIRST] + [STEP] * (looks - 1)
    counts = np.cumsum([rng.multinomial(n, shares, size=trials) for n in batches], axis=0)
    curves = []
    for levels in ([level(gate.ALPHA, i + 1) for i in range(looks)], [gate.ALPHA] * looks):
        found = [
            gate.promoted(table[:, 0], table[:, 1], rows, margin, alpha)
            for table, rows, alpha in zip(counts, np.cumsum(batches).tolist(), levels, strict=True)
        ]
        curves.append(np.maximum.accumulate(found).mean(axis=1))
    words = f"one candidate at {FIRST} to {sum(batches)} rows, margin {100 * margin:.0f} pp"
    return Series(words, *curves, trials)


def many_candidates(trials: int, rows: int, looks: int = LOOKS) -> tuple[Series, Series]:
    """Judge candidates as good as the champion, on the same rows and each on rows of its own.

    Independent looks are the hardest for a budget: what they spend adds up in full. (The gate
    itself would let each of them start anew, see `benchmarks.gate_peers`.)
    """
    same = _candidates(trials, rows, looks, fresh=False)
    return same, _candidates(trials, rows, looks, fresh=True)


def _candidates(trials: int, rows: int, looks: int, *, fresh: bool) -> Series:
    rng = np.random.default_rng(7)
    curves: list[list[float]] = [[], []]
    found = np.zeros((2, trials), dtype=np.int64)
    world = gate_peers.World(DIFFERING, 0.0, rows)
    hard, champion = world.champions(rng, trials)
    for look in range(1, looks + 1):
        if fresh:
            hard, champion = world.champions(rng, trials)
        gained, lost = world.candidates(rng, hard, champion)
        for k, alpha in enumerate((level(gate.ALPHA, look), gate.ALPHA)):
            found[k] |= gate.promoted(gained, lost, rows, 0.0, alpha)
            curves[k].append(float(found[k].mean()))
    words = f"{looks} candidates on {f'{rows} rows each' if fresh else f'the same {rows} rows'}"
    return Series(words, *(np.array(c) for c in curves), trials)


def best_of(trials: int, rows: int, choice: int = CHOICE) -> list[Cell]:
    """Judge once the best of many candidates that are all as good as the champion.

    Two worlds of rows, those that judge and as many test rows; each model answers both.
    """
    rng, world = np.random.default_rng(11), gate_peers.World(DIFFERING, 0.0, rows)
    gained, lost, ahead = (np.empty((choice, trials), dtype=np.int64) for _ in range(3))
    judging, testing = world.champions(rng, trials), world.champions(rng, trials)
    for k in range(choice):
        gained[k], lost[k] = world.candidates(rng, *judging)
        better, worse = world.candidates(rng, *testing)
        ahead[k] = better - worse
    alpha, every = level(gate.ALPHA, 1), np.arange(trials)
    cells = []
    for shown, score, claimed in (("test", ahead, True), ("judging", gained - lost, False)):
        best = score.argmax(axis=0)
        found = gate.promoted(gained[best, every], lost[best, every], rows, 0.0, alpha)
        words = f"one look at the best of {choice} by {rows} {shown} rows"
        cells.append(Cell(PART, words, int(found.sum()), trials, alpha, claimed=claimed))
    return cells


def ledger_agrees(trials: int, looks: int) -> int:
    """Run whole series through `judge` with its looks recorded; count verdicts that differ.

    What `judge` makes of the looks must be what `one_candidate` simulates: each look's number,
    level and answer, until a promotion spends the rows.
    """
    rng, wrong = np.random.default_rng(8), 0
    for _ in range(trials):
        rows = FIRST + STEP * (looks - 1)
        # Better than at the boundary, so that some series do promote.
        difference = rng.choice(np.array([1, -1, 0]), rows, p=[0.16, 0.08, 0.76])
        exam, past = gate_levels.exam(rng, difference), []
        times = 10.0 + np.arange(float(rows))
        recent = replace(exam.recent, observed_s=times)
        for look in range(1, looks + 1):
            n = FIRST + STEP * (look - 1)
            taken = recent.take(np.arange(rows) < n)
            held = replace(exam, recent=taken, looks=tuple(past), cohort=gate_levels.ALL)
            verdict = judge(held, gate.RULES)
            gained, lost = (int((difference[:n] == sign).sum()) for sign in (1, -1))
            passed = gate.promotes(gained, lost, n, 0.0, level(gate.ALPHA, look))
            primary = next(c for c in verdict.checks if c.name == "recent accuracy")
            wrong += (primary.passed is True) != passed or verdict.evidence.look != look
            past.append(Look(10.0, float(times[n - 1]), promoted=verdict.outcome == "promote"))
            if past[-1].promoted:
                break
    return wrong
