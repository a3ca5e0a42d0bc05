"""Which of the rows that may train do train, and with which weight: the training window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Policy = Literal["all", "sliding", "weighted", "production"]

_DAY_S = 86_400.0


@dataclass(frozen=True)
class Window:
    """A policy; see `training_window` in params.yaml.

    Attributes:
        policy: `all` rows; those of a `sliding` window; all, `weighted` by recency; or those of
            `production` alone.
        days: sliding: rows at most so much older than the newest; None: any age.
        rows: sliding: at most so many, the newest; None: any number.
        half_life_days: weighted: a row so much older than the newest counts half.
        min_rows: a window with fewer reaches further back until it has so many.
    """

    policy: Policy = "all"
    days: float | None = None
    rows: int | None = None
    half_life_days: float = 90.0
    min_rows: int = 1


@dataclass(frozen=True)
class Chosen:
    """What a policy makes of some rows.

    Attributes:
        index: int64, ascending: the rows that train.
        weight: float64, one per row of `index`, of mean 1; exactly 1 each unless weighted.
        words: what was done, with the figures.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float64]
    words: str


def choose(
    window: Window,
    observed_s: NDArray[np.float64],
    production: NDArray[np.bool_],
    key: NDArray[np.uint64],
) -> Chosen:
    """Apply a policy to the rows that may train; the gate's rows are none of its business.

    A row without a time counts as older than every row with one. Where no row tells apart what the
    policy looks at (no times, no production), all rows train: a first training has nothing else.

    Args:
        window: the policy.
        observed_s: float64 (N,), seconds since 1970; NaN where there is no time.
        production: bool (N,).
        key: uint64 (N,), the hash of the split key: the order of rows that are equally old.
    """
    total = len(observed_s)
    timed = bool(np.isfinite(observed_s).any())
    if window.policy == "all":
        return _whole(total, f"all {total} rows")
    if window.policy == "production":
        if not production.any():
            return _whole(total, f"all {total} rows: none is of production yet")
        order = np.lexsort((key, -observed_s, ~production))
        return _newest(window, order, int(production.sum()), "rows of production")
    if not timed:
        return _whole(total, f"all {total} rows: none has a time")
    if window.policy == "weighted":
        return _weighted(window, observed_s)
    order = np.lexsort((key, -observed_s))
    kept = total
    if window.days is not None:
        newest = np.nanmax(observed_s)
        kept = int((observed_s >= newest - window.days * _DAY_S).sum())
    if window.rows is not None:
        kept = min(kept, window.rows)
    return _newest(window, order, kept, "rows of the sliding window")


def effective_rows(weight: NDArray[np.float64]) -> float:
    """Return how many equally weighted rows teach as much, float64 (N,) weights, N ≥ 1.

    Source: L. Kish, Survey Sampling (1965), section 11.7.
    """
    return float(weight.sum() ** 2 / (weight**2).sum())


def _whole(total: int, words: str) -> Chosen:
    return Chosen(np.arange(total, dtype=np.int64), np.ones(total), words)


def _newest(window: Window, order: NDArray[np.int64], kept: int, what: str) -> Chosen:
    """Take the first `kept` rows of an order, or `min_rows` of them if that is more."""
    taken = min(max(kept, window.min_rows), len(order))
    words = f"{kept} {what}, of {len(order)}"
    if taken > kept:
        words += (
            f", and {taken - kept} older ones up to training_window.min_rows = {window.min_rows}"
        )
    return Chosen(np.sort(order[:taken]).astype(np.int64), np.ones(taken), words)


def _weighted(window: Window, observed_s: NDArray[np.float64]) -> Chosen:
    """Weight by exponential decay; a row without a time weighs as the oldest that has one."""
    oldest_s = np.nanmin(observed_s)
    age_s = np.nanmax(observed_s) - np.where(np.isnan(observed_s), oldest_s, observed_s)
    weight = np.exp2(-age_s / (window.half_life_days * _DAY_S))
    weight /= weight.mean()
    words = (
        f"all {len(weight)} rows, weighted with a half-life of {window.half_life_days:g} days: "
        f"worth {effective_rows(weight):.0f} equal ones"
    )
    return Chosen(np.arange(len(weight), dtype=np.int64), weight, words)
