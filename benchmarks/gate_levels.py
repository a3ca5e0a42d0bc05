"""Part a: at the margin's boundary no look promotes more often than its level.

Pairs are drawn where the null hypothesis is hardest to keep: the candidate's true accuracy is the
champion's minus the margin. Rows are independent, or alike in keys of five, in keys of very
unequal size, or in stretches of time that begin anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks import gate_verdict as gate
from benchmarks.gate_cells import Cell
from mlops.core.exam import Cohort, Exam, Memory, Trial
from mlops.core.gate import judge
from mlops.core.rules import level

PART = "false promotions"
DISCORDANCES = (0.05, 0.15, 0.3)
ROWS = (60, 120, 300, 1000)
ALIKE = 0.9  # share of the rows of a key or stretch that have its answer, not one of their own
STRETCH = 10  # rows that are alike in time, one a second
_TRIED = Trial(latency_ms=1.0, memory_mb=1.0, size_mb=1.0, worst_difference=0.0)
ALL = Cohort(100, 100, 1e9)  # every label has come
_CHECKED = 100  # replicates per cell that are asked without screening, too

Layout = Callable[[np.random.Generator, int], tuple[NDArray[np.int64], NDArray[np.uint64], float]]


@dataclass(frozen=True)
class Setting:
    """What one cell simulates: rows, share that differ, margin, the number of the look."""

    rows: int
    discordance: float
    margin: float
    look: int = 1

    @property
    def words(self) -> str:
        """The setting in words."""
        return (
            f"{self.rows} rows, {100 * self.discordance:.0f} % differ, margin "
            f"{100 * self.margin:.0f} pp, look {self.look}"
        )

    @property
    def shares(self) -> list[float]:
        """Probabilities of gained, lost and equal at the margin's boundary."""
        win = (self.discordance - self.margin) / 2.0
        return [win, win + self.margin, 1.0 - self.discordance]


def settings(rows: tuple[int, ...], looks: tuple[int, ...]) -> Iterator[Setting]:
    """Return every combination."""
    for n in rows:
        for discordance in DISCORDANCES:
            for margin in (0.0, gate.MARGIN):
                yield from (Setting(n, discordance, margin, look) for look in looks)


def independent(setting: Setting, trials: int) -> Cell:
    """Simulate independent pairs; enumerate them as well."""
    rng = np.random.default_rng([1, setting.rows, setting.look])
    alpha = level(gate.ALPHA, setting.look)
    gained, lost, _ = rng.multinomial(setting.rows, setting.shares, size=trials).T
    hits = gate.promoted(gained, lost, setting.rows, setting.margin, alpha).sum()
    exact = gate.exact_rate(
        setting.rows, setting.discordance, -setting.margin, setting.margin, alpha
    )
    return Cell(PART, f"independent: {setting.words}", int(hits), trials, alpha, exact=exact)


def every_table(rows: int, most: int) -> int:
    """Ask every table of so many rows one by one; return how many differ from `least_gained`."""
    wrong, alpha = 0, level(gate.ALPHA, 1)
    for margin in (0.0, gate.MARGIN):
        for differing in range(most + 1):
            least = gate.least_gained(differing, rows, margin, alpha)
            for gained in range(differing + 1):
                found = gate.promotes(gained, differing - gained, rows, margin, alpha)
                wrong += found != (gained >= least)
    return wrong


def keys_of_five(
    _: np.random.Generator, rows: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], float]:
    """Lay out an entity with five rows each."""
    unit = np.arange(rows) // 5
    return unit, unit.astype(np.uint64), 0.0


def unequal_keys(
    rng: np.random.Generator, rows: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], float]:
    """Lay out entities of which few have many rows: Zipf's law, an eighth of all at most."""
    sizes = np.minimum(rng.zipf(1.7, rows), rows // 8)
    unit = np.repeat(np.arange(rows), sizes)[:rows]
    return unit, unit.astype(np.uint64), 0.0


def stretches_of_time(
    rng: np.random.Generator, rows: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], float]:
    """Lay out rows of own keys, alike for ten seconds from anywhere; `block_s` says ten."""
    unit = (np.arange(rows) + rng.integers(STRETCH)) // STRETCH
    return unit, np.arange(rows, dtype=np.uint64), float(STRETCH)


LAYOUTS: dict[str, Layout] = {
    "keys of 5 rows": keys_of_five,
    "keys of unequal size": unequal_keys,
    "stretches of time": stretches_of_time,
}


def dependent(name: str, setting: Setting, trials: int) -> Cell:
    """Simulate rows that are alike in keys or stretches, through the whole primary test."""
    rng = np.random.default_rng([2, setting.rows, len(name)])
    alpha, at_s, hits = level(gate.ALPHA, setting.look), np.arange(float(setting.rows)), 0
    values, shares = np.array([1, -1, 0]), np.cumsum(setting.shares)[:2]
    for trial in range(trials):
        unit, key, block_s = LAYOUTS[name](rng, setting.rows)
        whole, own = (
            values[np.searchsorted(shares, rng.random(n), side="right")]
            for n in (int(unit[-1]) + 1, setting.rows)
        )
        difference = np.where(rng.random(setting.rows) < ALIKE, whole[unit], own)
        if difference.mean() <= -setting.margin:
            continue  # no bound lies above the estimate
        ask = partial(
            gate.promotes_dependent, difference, key, at_s, margin=setting.margin, level=alpha,
            block_s=block_s,
        )  # fmt: skip
        found = ask()
        if trial < _CHECKED:
            assert found == ask(screen=False), "screening is no proof"
        hits += found
    return Cell(PART, f"{name}: {setting.words}", hits, trials, alpha)


def whole_gate(setting: Setting, trials: int, seed: int = 3) -> Cell:
    """Simulate verdicts of `judge` itself, with its slices, constant and coverage checks on."""
    rng, rules = np.random.default_rng([3, seed]), replace(gate.RULES, margin=setting.margin)
    hits = 0
    for _ in range(trials):
        difference = rng.choice(np.array([1, -1, 0]), setting.rows, p=setting.shares)
        hits += judge(exam(rng, difference), rules).outcome == "promote"
    alpha = level(gate.ALPHA, setting.look)
    return Cell(PART, f"the whole gate: {setting.words}", hits, trials, alpha)


def exam(rng: np.random.Generator, difference_N: NDArray[np.int64]) -> Exam:
    """Return what the gate is given: these recent rows, and base rows that guard nothing."""

    def rows(difference: NDArray[np.int64], first: int) -> gate.Paired:
        n = len(difference)
        made = gate.paired(
            difference, np.arange(first, first + n, dtype=np.uint64), np.full(n, 9.0)
        )
        label = rng.integers(0, 2, n)
        swap = (label == 1)[:, None]
        assert made.candidate is not None
        assert made.champion is not None
        return replace(
            made, label=label,
            candidate=np.where(swap, made.candidate[:, ::-1], made.candidate),
            champion=np.where(swap, made.champion[:, ::-1], made.champion),
        )  # fmt: skip

    memory = Memory(np.zeros(0, dtype=np.uint64), 0.0)
    return Exam(
        classes=("a", "b"), recent=rows(difference_N, 0),
        base=rows(np.zeros(60, dtype=np.int64), 10**6), candidate=memory, champion=memory,
        trial=_TRIED, cohort=ALL,
    )  # fmt: skip
