"""Parts a, b and c for numbers: the absolute error as a share of the champion's.

Both models' residuals have the same distribution, which is normal, heavy-tailed or skewed, and are
tied by a Gaussian copula; the candidate's are then scaled, so that the true share is known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import gate_coverage, gate_levels, gate_power
from benchmarks import gate_verdict as gate
from benchmarks.gate_cells import Cell
from mlops.core import assessment, regression_scores
from mlops.core.decision import Evidence
from mlops.core.exam import Paired
from mlops.core.primary import primary
from mlops.core.primary_error import errors_needed
from mlops.core.rules import level

Floats = NDArray[np.float64]
Shape = Callable[[Floats], Floats]

SHAPES: dict[str, Shape] = {
    "normal": lambda z: z,
    "heavy-tailed": lambda z: np.sinh(1.2 * z),
    "skewed": lambda z: np.exp(0.8 * z) - math.exp(0.32),
}
"""Residuals from a standard normal variable; kurtosis 3, 32 and 13."""
TIES = (0.5, 0.9)  # correlation of the two models' normal variables
ROWS = (60, 300, 1000)
SEEN = (60, 100, 300)  # rows that ask for more
METRICS = ("mae", "rmse", "r2", "mape", "pinball", "coverage")
_CHECKED = 20  # replicates per cell that are asked without screening, too
_KNOWN = 400_000  # rows from which a variance is known well enough
_MANY = 2_000_000  # draws from which a metric is


def settings(rows: tuple[int, ...]) -> list[tuple[str, float, int, int]]:
    """Return every combination of shape, tie, rows and rows of one key.

    No margin is among them: at the boundary of one the candidate's errors are the champion's and
    the margin, which the test takes off again, so that every margin has the same rate.
    """
    return [(s, t, n, each) for s in SHAPES for t in TIES for n in rows for each in (1, 5)]


def losses(
    rng: np.random.Generator, shape: str, tie: float, keys: int, each: int = 1
) -> tuple[Floats, Floats]:
    """Draw both models' residuals, float64 (keys * each,); rows of a key are alike."""
    rows, kept = keys * each, math.sqrt(gate_levels.ALIKE if each > 1 else 0.0)

    def normal() -> Floats:
        shared = np.repeat(rng.standard_normal(keys), each)
        return kept * shared + math.sqrt(1.0 - kept**2) * rng.standard_normal(rows)

    first, other = normal(), normal()
    second = tie * first + math.sqrt(1.0 - tie**2) * other
    return SHAPES[shape](second), SHAPES[shape](first)


def promotes(
    ours_N: Floats, theirs_N: Floats, key_N: NDArray[np.uint64], margin: float, *,
    screen: bool = True,
) -> bool:  # fmt: skip
    """Ask the gate's primary test, at the level of a first look, about residuals.

    Its bound is no narrower than Student's t over keys: where that one, which is cheap, does not
    pass, the other need not be found. `screen=False` finds it all the same.
    """
    alpha = level(gate.ALPHA, 1)
    if screen:
        value_N = (1.0 + margin) * np.abs(theirs_N) - np.abs(ours_N)
        total_G = np.bincount(key_N.astype(np.int64), weights=value_N)
        size = len(value_N) / len(total_G)
        spread = (total_G - size * value_N.mean()).std(ddof=1) / size / math.sqrt(len(total_G))
        if value_N.mean() <= stats.t.isf(alpha, len(total_G) - 1) * spread:
            return False

    def quantiles(residual_N: Floats) -> NDArray[np.float32]:
        return np.repeat(residual_N.astype(np.float32)[:, None], 3, axis=1)

    rows = Paired(
        label=np.zeros(len(ours_N)), candidate=quantiles(ours_N), champion=quantiles(theirs_N),
        key=key_N, observed_s=np.zeros(len(ours_N)),
    )  # fmt: skip
    evidence = Evidence(len(ours_N), 0, 0, 0, level=alpha)
    check, *_ = primary(rows, evidence, replace(gate.RULES, margin=margin), regression=True)
    return check.passed is True


def level_kept(shape: str, tie: float, rows: int, each: int, trials: int) -> Cell:
    """Simulate candidates whose error is the champion's and the margin: the boundary.

    Args:
        shape: of the residuals.
        tie: between the two models.
        rows: labelled rows.
        each: rows of one key.
        trials: replicates.
    """
    rng, hits = np.random.default_rng([6, rows, each, round(100 * tie), len(shape)]), 0
    key_N, margin = (np.arange(rows) // each).astype(np.uint64), gate.MARGIN
    for trial in range(trials):
        ours_N, theirs_N = losses(rng, shape, tie, rows // each, each)
        ask = partial(promotes, (1.0 + margin) * ours_N, theirs_N, key_N, margin)
        found = ask()
        if trial < _CHECKED:
            assert found == ask(screen=False), "screening is no proof"
        hits += found
    kind = "errors of numbers" if each == 1 else f"errors of numbers, keys of {each} rows"
    name = f"{kind}: {rows} rows, {shape}, tie {tie}"
    return Cell(gate_levels.PART, name, hits, trials, level(gate.ALPHA, 1))


def power_kept(
    shape: str, tie: float, margin: float, gain: float, trials: int, *, seen: int | None = None
) -> Cell:
    """Simulate a known gain at the rows that are asked for.

    Args:
        shape: of the residuals.
        tie: between the two models.
        margin: share that may be lost.
        gain: the true one, and the declared effect.
        trials: replicates.
        seen: rows by which the others are asked for, anew in each replicate; nothing where their
            variance is known.
    """
    rng, kept = np.random.default_rng([7, round(100 * tie), len(shape), seen or 0]), 1.0 - gain
    hits, asked, rows = 0, [], 0
    for _ in range(trials):
        if seen is not None or not rows:
            ours_N, theirs_N = (np.abs(r) for r in losses(rng, shape, tie, seen or _KNOWN))
            rows = errors_needed(
                ours_N, theirs_N, np.arange(len(ours_N), dtype=np.uint64),
                alpha=level(gate.ALPHA, 1), power=gate.RULES.power, effect=gain, margin=margin,
            )  # fmt: skip
            asked.append(rows)
        ours_N, theirs_N = losses(rng, shape, tie, rows)
        hits += promotes(kept * ours_N, theirs_N, np.arange(rows, dtype=np.uint64), margin)
    by = "" if seen is None else f", asked by {seen} rows"
    name = (
        f"errors of numbers {100 * gain:.0f} % smaller, margin {100 * margin:.0f} %, {shape}, "
        f"tie {tie}{by}: {np.median(asked):.0f} rows"
    )
    limit = gate.RULES.power - gate_power.TOLERANCE
    return Cell(gate_power.PART, name, hits, trials, limit, at_least=True)


def scored(rng: np.random.Generator, shape: str, rows: int) -> assessment.Scored:
    """Draw targets, and quantiles that are right for normal residuals."""
    point_N = 10.0 + 2.0 * rng.standard_normal(rows)
    label_N = point_N + SHAPES[shape](rng.standard_normal(rows))
    quantile_NK = point_N[:, None] + stats.norm.ppf([0.05, 0.5, 0.95])
    return assessment.Scored(
        label_N, quantile_NK.astype(np.float32), np.arange(rows, dtype=np.uint64),
        np.zeros(rows, dtype=bool),
    )  # fmt: skip


def covered(shape: str, rows: int, trials: int) -> list[Cell]:
    """Count how often each metric's interval holds the truth: claimed for normal residuals."""
    rules = assessment.Rules(
        gate_coverage.CONFIDENCE, gate_coverage.RESAMPLES, gate_coverage.SEED, gate_coverage.BINS,
        1, top_k=1,
    )  # fmt: skip
    true = regression_scores.figures({
        "test": scored(np.random.default_rng(98), shape, _MANY)
    })  # fmt: skip
    inside = dict.fromkeys(METRICS, 0)
    for trial in range(trials):
        rows_N = scored(np.random.default_rng([8, rows, trial]), shape, rows)
        for one in regression_scores.measured(rows_N, rules):
            if one.name in inside:
                inside[one.name] += one.interval.low <= true[one.name] <= one.interval.high
    limit = gate_coverage.CONFIDENCE - gate_coverage.TOLERANCE
    return [
        Cell(
            gate_coverage.PART, f"{name}, {rows} rows, {shape} residuals", inside[name], trials,
            limit, at_least=True, claimed=shape == "normal",
        )
        for name in METRICS
    ]  # fmt: skip
