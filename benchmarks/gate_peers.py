"""Part e: rules of other templates and ours on the same simulated history of 50 candidates.

Some rows are hard: there every model is right by chance alone, on the others always. So all
models are equally good, any two differ on half of the hard rows, and a model that is truly
better or worse differs in its chance on the hard ones. A promotion of a candidate that is no
better than the first champion is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import gate_verdict as gate
from benchmarks.gate_cells import Cell
from mlops.core.rules import level

PART = "peers"
CANDIDATES, ROWS = 50, 600
AGREEMENT = 0.95
OURS = "this gate"
RULES = (OURS, "new ≥ old", "beats all past versions", "95 % agreement")

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """A simulated task.

    Attributes:
        differing: share of rows on which two equally good models differ.
        gain: true accuracy of every candidate minus that of the first champion.
        rows: labelled rows.
        fresh: whether each candidate is judged on rows of its own.
    """

    differing: float
    gain: float
    rows: int = ROWS
    fresh: bool = False

    @property
    def words(self) -> str:
        """The world in words."""
        kind = "equal" if self.gain == 0.0 else f"{100 * abs(self.gain):.0f} pp worse"
        rows = "fresh rows each" if self.fresh else "the same rows"
        return f"{kind}, {100 * self.differing:.0f} % differ, {rows}"

    @property
    def chance(self) -> float:
        """How often a candidate is right on a hard row."""
        return 0.5 + self.gain / (2.0 * self.differing)

    def champions(
        self, rng: np.random.Generator, trials: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw the number of hard rows, and on how many the champion is right; int64 (R,)."""
        hard = rng.binomial(self.rows, 2.0 * self.differing, trials)
        return hard, rng.binomial(hard, 0.5)

    def candidates(
        self, rng: np.random.Generator, hard: NDArray[np.int64], champion: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw on how many rows only the candidate, and only the champion, is right."""
        gained = rng.binomial(hard - champion, self.chance)
        return gained, rng.binomial(champion, 1.0 - self.chance)

    def bits(self, rng: np.random.Generator, hard: int, chance: float) -> Bits:
        """Draw a model's right answers on the hard rows."""
        return rng.random(hard) < chance


def histories(world: World, trials: int) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Offer 50 candidates to each rule; count the promotions, all of them wrong.

    Returns:
        Promotions of each history by each rule, int64 (R,); and the trials.
    """
    rng = np.random.default_rng([9, round(1000 * world.differing), round(-1000 * world.gain)])
    count = {rule: np.zeros(trials, dtype=np.int64) for rule in RULES}
    for trial in range(trials):
        for rule, promotions in _history(world, rng).items():
            count[rule][trial] = promotions
    return count, trials


def _history(world: World, rng: np.random.Generator) -> dict[str, int]:
    """Draw the rows, the first champion and the candidates; let every rule see the same."""
    hard = int(rng.binomial(world.rows, 2.0 * world.differing))
    champion = {rule: (0.5, world.bits(rng, hard, 0.5)) for rule in RULES}
    first = champion[OURS][1]
    best, looks, count = _accuracy(world, first), 0, dict.fromkeys(RULES, 0)
    for rule in RULES[1:]:
        champion[rule] = (0.5, first)
    spent = False
    for _ in range(CANDIDATES):
        if world.fresh:  # every model answers the new rows anew
            hard, looks, spent = int(rng.binomial(world.rows, 2.0 * world.differing)), 0, False
            champion = {r: (q, world.bits(rng, hard, q)) for r, (q, _) in champion.items()}
        candidate, looks = world.bits(rng, hard, world.chance), looks + 1
        says = {
            RULES[1]: _accuracy(world, candidate) >= _accuracy(world, champion[RULES[1]][1]),
            RULES[2]: _accuracy(world, candidate) > best,
            RULES[3]: 1.0 - (candidate != champion[RULES[3]][1]).sum() / world.rows >= AGREEMENT,
            OURS: not spent and _ours(world, candidate, champion[OURS][1], looks),
        }
        best = max(best, _accuracy(world, candidate))
        spent = spent or says[OURS]  # a promotion retires the rows that it looked at
        for rule, promoted in says.items():
            count[rule] += promoted
            if promoted:
                champion[rule] = (world.chance, candidate)
    return count


def _accuracy(world: World, hits: Bits) -> int:
    """Count right answers: the easy rows are always right."""
    return world.rows - len(hits) + int(hits.sum())


def _ours(world: World, candidate: Bits, champion: Bits, look: int) -> bool:
    gained, lost = int((candidate & ~champion).sum()), int((champion & ~candidate).sum())
    alpha = level(gate.ALPHA, look)
    return gained >= gate.least_gained(gained + lost, world.rows, 0.0, alpha)


def found_better(differing: float, gain: float, trials: int) -> dict[str, float]:
    """Offer one candidate that is truly better; return how often each rule promotes it."""
    world, rng = World(differing, gain), np.random.default_rng(10)
    count = dict.fromkeys(RULES, 0)
    for _ in range(trials):
        hard = int(rng.binomial(world.rows, 2.0 * differing))
        champion, candidate = world.bits(rng, hard, 0.5), world.bits(rng, hard, world.chance)
        ahead = int(candidate.sum()) - int(champion.sum())
        agreement = 1.0 - (candidate != champion).sum() / world.rows
        count[OURS] += _ours(world, candidate, champion, 1)
        count[RULES[1]] += ahead >= 0
        count[RULES[2]] += ahead > 0
        count[RULES[3]] += bool(agreement >= AGREEMENT)
    return {rule: hits / trials for rule, hits in count.items()}


def cells(world: World, count: dict[str, NDArray[np.int64]], trials: int) -> list[Cell]:
    """Return the share of histories in which ours promoted wrongly, where that is claimed."""
    hits = int((count[OURS] > 0).sum())
    return [] if world.fresh else [Cell(PART, world.words, hits, trials, gate.ALPHA)]
