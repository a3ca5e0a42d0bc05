"""Thresholds at a rate of false incidents that the user chose, from held-out reference rows.

In the reference's own world every window is clean. Streams of windows are drawn from it, in blocks
where rows depend on each other (Künsch 1989), each stream with a fresh pseudo-reference of the
true reference's size, which all its windows share as they do in service (so that a reference that
fell out badly, and alarms again and again, is counted). Where entities have several rows each,
whole entities make up a pseudo-reference: it tells of so many entities, not of so many rows; where
rows depend on their neighbours in time, too, one of blocks is smaller by as much (Cameron et al.
2011).
Statistics are scaled by √(nN / (n + N)), so that smaller windows may stand for large ones. Each
pseudo-reference gives its own scale of each column, as the true one does: what a scale misses by
is then part of what is simulated. Columns are standardised, the maximum over them taken (Westfall
and Young, Resampling-Based Multiple Testing, 1993), and the threshold is the lowest at which the
complete rule, K-of-N and hysteresis included, opens at most half the budgeted incidents, and at
which a reference that is worse than nine in ten still keeps to the budget (Gandy and Kvaløy,
Guaranteed conditional performance of control charts via bootstrap methods, Scandinavian Journal
of Statistics 40, 2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core.alarm import Rule, incidents
from mlops.core.clean_streams import Shape, alike, draw_streams
from mlops.core.dependence import INDEPENDENT, between_windows, dependence
from mlops.core.thresholds import TAIL_P, Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.clean_streams import Alike
    from mlops.core.columns import Columns
    from mlops.core.dependence import Dependence

MOST_WINDOWS = 24_000
"""Windows that a calibration draws at most."""

_SAFETY = 0.5  # of the budget: the rest is for what the reference's world does not show
_REFERENCES = 0.9  # of the references keep to the budget each, not only all together
_EVENTS = 40.0  # incidents wanted at the threshold: its rate is then known to about ±16 %
_ENOUGH_WINDOWS = 2  # of reference rows; with fewer the reference cannot speak for itself
_ENOUGH_BLOCKS = 20  # of dependent rows, or entities


@dataclass(frozen=True)
class Rules:
    """What is calibrated for; see `monitoring` in params.yaml.

    Attributes:
        window_rows: rows of a window.
        false_alarms: budgeted incidents …
        per_windows: … in so many windows.
        min_effect: no threshold is below this.
        replicates: streams, each with a pseudo-reference of its own.
        seed: of the drawing.
        rule: from alarms to incidents.
        most_windows: windows drawn at most, all streams together.
    """

    window_rows: int
    false_alarms: float
    per_windows: int
    min_effect: float
    replicates: int
    seed: int
    rule: Rule
    most_windows: int = MOST_WINDOWS

    @property
    def rate(self) -> float:
        """Budgeted incidents per window."""
        return self.false_alarms / self.per_windows


def calibrate(
    reference: Columns,
    rules: Rules,
    *,
    in_order: bool = False,
    key: NDArray[np.uint64] | None = None,
) -> Thresholds:
    """Find the thresholds for a reference.

    Args:
        reference: held-out rows on which no model was fitted, N of them.
        rules: window size, budget, rule.
        in_order: whether the rows stand in the order of time, so that their dependence can be
            seen; else they are taken for independent.
        key: uint64, (N,): equal for rows of one entity; None if each row is one of its own.

    Raises:
        ValueError: if the reference has fewer than 2 rows.
    """
    if len(reference) < 2:
        msg = f"a reference of {len(reference)} rows cannot be calibrated; provide more rows"
        raise ValueError(msg)
    found = dependence(reference.values) if in_order else INDEPENDENT
    block = found.block
    target = _SAFETY * rules.rate
    together = alike(block, key, reference.values)
    wanted = min(rules.most_windows, math.ceil(_EVENTS / target))
    length = max(math.ceil(wanted / rules.replicates), 4 * rules.rule.raise_n)
    draws_STC, scale = draw_streams(
        reference, Shape(rules.replicates, length, rules.window_rows), together,
        np.random.default_rng(rules.seed),
    )  # fmt: skip
    if in_order:
        scale = scale * _dependence_scale(reference, rules.window_rows, found)
    mean, sd = draws_STC.mean(axis=(0, 1)), draws_STC.std(axis=(0, 1)) + 1e-9
    top_ST = ((draws_STC - mean) / sd).max(axis=2)
    z, extrapolated = _limit(rules.rule, top_ST, target)
    z, unlucky = _conditional(rules, top_ST, z)
    over = (draws_STC >= mean + z * sd) & (draws_STC * scale >= rules.min_effect)
    rate = float(incidents(rules.rule, over.any(axis=2)).sum() / top_ST.size)
    faults = _faults(len(reference), rules.window_rows, together)
    how = f"{top_ST.size} clean windows in {len(top_ST)} streams"
    how += f" of blocks of {block} rows" * (block > 1) + ", tail extrapolated" * extrapolated
    if together.entities:
        how += f"; {len(reference)} reference rows of {len(together.entities)} entities"
    return Thresholds(
        columns=reference.all_names, limits=tuple(float(v) for v in (mean + z * sd) * scale),
        means=tuple(float(v) for v in mean * scale),
        min_effect=rules.min_effect, window_rows=rules.window_rows,
        reference_rows=len(reference), rate=rate, budget=rules.rate, z=z,
        tail=tuple(float(np.quantile(top_ST, 1 - p) + unlucky) for p in TAIL_P),
        block=block, calibrated=not faults, reason="; ".join([how, *faults]),
    )  # fmt: skip


def _dependence_scale(
    reference: Columns, window_rows: int, found: Dependence
) -> NDArray[np.float64]:
    """Return by how much true windows spread more than drawn ones, in the order of `all_names`.

    What blocks lose at their ends, what real windows show beyond blocks, and the error of a scale
    that few blocks tell, such that nine in ten references keep to the budget.
    """
    extra = between_windows(reference.values, window_rows, found.block)
    at = list(reference.embedded_at)
    together = [extra[at].max()] if at else []  # as one it is its worst column's at most
    extra = np.array([*extra, *together, 1.0])
    if found.block == 1:
        return extra
    blocks = max(len(reference) // found.block, 2)
    few = blocks / stats.chi2.ppf(1 - _REFERENCES, blocks)
    return np.asarray(extra * found.missed * math.sqrt(few))


def _faults(rows: int, window_rows: int, together: Alike) -> list[str]:
    """Return why the reference is too small to promise a budget, in words."""
    found, block, entities = [], together.block, together.entities
    if rows < _ENOUGH_WINDOWS * window_rows:
        found.append(
            f"uncalibrated: {rows} reference rows are fewer than "
            f"{_ENOUGH_WINDOWS} windows of {window_rows}"
        )
    if block > 1 and rows < _ENOUGH_BLOCKS * block:
        found.append(
            f"uncalibrated: rows depend on each other over {block}, and {rows} reference rows "
            f"are fewer than {_ENOUGH_BLOCKS} such blocks"
        )
    if entities and len(entities) < _ENOUGH_BLOCKS:
        found.append(
            f"uncalibrated: {rows} reference rows are of {len(entities)} entities, fewer than "
            f"{_ENOUGH_BLOCKS}"
        )
    return found


def _conditional(rules: Rules, top_ST: NDArray[np.float64], z: float) -> tuple[float, float]:
    """Raise a limit until nine in ten references keep to the budget.

    Streams differ by a shift of their maxima, the reference's luck.

    Returns:
        The limit, and the unlucky reference's shift.
    """
    shift_S = top_ST.mean(axis=1)
    within = top_ST.var(axis=1, ddof=1).mean() / top_ST.shape[1]
    between = max(float(shift_S.var(ddof=1) - within), 0.0)
    unlucky = float(stats.norm.ppf(_REFERENCES)) * math.sqrt(between)
    share = math.sqrt(between / (between + within)) if between else 0.0
    alike_ST = top_ST - share * (shift_S - shift_S.mean())[:, np.newaxis]
    return max(z, _limit(rules.rule, alike_ST, rules.rate)[0] + unlucky), unlucky


def _limit(rule: Rule, top_ST: NDArray[np.float64], target: float) -> tuple[float, bool]:
    """Return the lowest limit that keeps to the target, and whether the tail was extrapolated."""
    events = target * top_ST.size
    if events >= _EVENTS / 2:
        return _limit_for(rule, top_ST, events), False
    # Too few clean windows to see the target's rate: an exponential tail through two rates that
    # are seen. The true tails are lighter (sub-Gaussian), so the limit errs to the quiet side.
    near, far = _EVENTS / 2, _EVENTS * 2
    high, low = _limit_for(rule, top_ST, near), _limit_for(rule, top_ST, far)
    return high + max(high - low, 0.0) * math.log(near / events) / math.log(far / near), True


def _limit_for(rule: Rule, top_ST: NDArray[np.float64], events: float) -> float:
    """Search the maxima themselves: between two of them no limit opens anything else."""
    values = np.unique(top_ST)
    low, high = len(values) // 2, len(values)
    while low < high:
        middle = (low + high) // 2
        if incidents(rule, top_ST >= values[middle]).sum() > events:
            low = middle + 1
        else:
            high = middle
    return float(values[low]) if low < len(values) else float(values[-1]) + 1e-9
