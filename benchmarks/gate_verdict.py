"""The gate's own primary test, asked by counts: `mlops.core.primary`, no second implementation.

Where rows are independent its answer depends on the counts alone. Among tables with equally many
rows that differ, more gained ones never turn a promotion into none, so that the least number of
gained rows that promotes says it all; `benchmarks.gate_levels.every_table` asks them one by one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlops.core.bounds import dependent, tango_over_keys
from mlops.core.decision import Evidence
from mlops.core.exam import Paired
from mlops.core.primary import primary
from mlops.core.rules import Rules

Ints = NDArray[np.int64]

ALPHA, MARGIN = 0.05, 0.03
# As in params.yaml, with every guardrail off.
RULES = Rules(
    margin=0.0, alpha=ALPHA, power=0.8, effect=0.03, min_rows=60, min_coverage=0.9,
    anchor_margin=0.05, non_inferiority=(), floors=(), ceilings=(), slices=(), protected=(),
    required_slices=(), min_slice_rows=20, resamples=2000, seed=7, gap_s=0.0, block_s=0.0,
)  # fmt: skip
_RIGHT, _WRONG = np.array([[0.9, 0.1], [0.1, 0.9]], dtype=np.float32)


def paired(
    difference_N: Ints, key_N: NDArray[np.uint64], observed_s: NDArray[np.float64]
) -> Paired:
    """Return rows of label 0 on which the models differ so: -1, 0 or 1 each, shape (N,)."""
    return Paired(
        label=np.zeros(len(difference_N), dtype=np.int64),
        candidate=np.where((difference_N < 0)[:, None], _WRONG, _RIGHT),
        champion=np.where((difference_N > 0)[:, None], _WRONG, _RIGHT),
        key=key_N,
        observed_s=observed_s,
    )


def ask(rows: Paired, margin: float, level: float, block_s: float = 0.0) -> bool:
    """Ask the gate's primary test whether it promotes, at the level of a look."""
    evidence = Evidence(len(rows.label), 0, 0, 0, level=level)
    check, *_ = primary(rows, evidence, replace(RULES, margin=margin, block_s=block_s))
    return check.passed is True


@cache
def promotes(gained: int, lost: int, rows: int, margin: float, level: float) -> bool:
    """Ask about independent rows, by their counts."""
    difference = np.zeros(rows, dtype=np.int64)
    difference[:gained], difference[gained : gained + lost] = 1, -1
    return ask(paired(difference, np.arange(rows, dtype=np.uint64), np.zeros(rows)), margin, level)


@cache
def least_gained(differing: int, rows: int, margin: float, level: float) -> int:
    """Return the fewest gained of the differing rows that promote; one too many if none do."""
    z = float(stats.norm.isf(level))
    guess = (differing - margin * rows + z * math.sqrt(differing)) / 2.0 + 0.5
    least = min(max(math.ceil(guess), 0), differing + 1)
    while least > 0 and promotes(least - 1, differing - least + 1, rows, margin, level):
        least -= 1
    while least <= differing and not promotes(least, differing - least, rows, margin, level):
        least += 1
    return least


def promoted(gained_R: Ints, lost_R: Ints, rows: int, margin: float, level: float) -> Ints:
    """Say of each replicate whether its counts promote, 0 or 1, int64 (R,)."""
    differing_R = gained_R + lost_R
    every = np.unique(differing_R)
    least = np.array([least_gained(int(d), rows, margin, level) for d in every])
    return np.asarray(gained_R >= least[np.searchsorted(every, differing_R)], dtype=np.int64)


def exact_rate(rows: int, differing: float, gain: float, margin: float, level: float) -> float:
    """Return the probability of a promotion by enumeration.

    Args:
        rows: independent pairs.
        differing: probability that the models differ on one.
        gain: true accuracy of the candidate minus that of the champion.
        margin: that the gate holds.
        level: of the look.
    """
    counts = np.arange(stats.binom.ppf(1e-12, rows, differing),
                       stats.binom.isf(1e-12, rows, differing) + 1, dtype=np.int64)  # fmt: skip
    least = np.array([least_gained(int(d), rows, margin, level) for d in counts])
    share = (differing + gain) / 2.0 / differing
    weight = stats.binom.pmf(counts, rows, differing)
    return float((weight * stats.binom.sf(least - 1, counts, share)).sum())


def promotes_dependent(
    difference_N: Ints,
    key_N: NDArray[np.uint64],
    observed_s: NDArray[np.float64],
    *,
    margin: float,
    level: float,
    block_s: float,
    screen: bool = True,
) -> bool:
    """Ask about rows that depend on each other, as `mlops.core.gate.judge` hands them on.

    The gate's bound is the lower of Tango's and a bootstrap's: where the first, which is cheap,
    does not pass, the second need not be drawn. `screen=False` draws it all the same.
    """
    unit_N = dependent(key_N, observed_s, block_s)
    if screen:
        lower, *_ = tango_over_keys(difference_N, unit_N, level)
        if lower <= -margin:
            return False
    return ask(paired(difference_N, unit_N, observed_s), margin, level, block_s)
