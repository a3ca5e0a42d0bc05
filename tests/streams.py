"""Streams for backtests: two columns, a class, and halfway another rule for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlops.core.past import Past
from mlops.core.schema import Column, TableSchema

START_S = 1.7e9
MINUTES = 5.0


def stream(
    rows: int, *, changed_at: int | None = None, seed: int = 0, numbers: bool = False
) -> Past:
    """Return rows five minutes apart; from `changed_at` on the class is the other one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    late = np.arange(rows) >= (rows if changed_at is None else changed_at)
    score = np.where(late, -1.0, 1.0) * (x[:, 0] + 0.3 * rng.normal(size=rows))
    label = score if numbers else (score > 0).astype(np.int64)
    side = np.where(rng.random(rows) < 0.25, "test", "train").astype("<U10")
    side[rng.random(rows) < 0.1] = "validation"
    every = np.ones(rows, dtype=bool)
    columns = (Column("x", "number"), Column("y", "number"))
    return Past(
        schema=TableSchema(() if numbers else ("no", "yes"), columns), features=x, label=label,
        key=rng.integers(1 << 62, size=rows).astype(np.uint64), side=side,
        observed_s=np.array(START_S + 60.0 * MINUTES * np.arange(rows), dtype=np.float64),
        measures=every, sampled=every,
        active=~every,
    )  # fmt: skip


def unlabelled(past: Past, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Past:
    """Return the stream with no labels on some rows."""
    return replace(past, label=np.where(rows, -1, past.label), measures=past.measures & ~rows)
