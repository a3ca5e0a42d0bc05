"""One cell of the gate's benchmark: a rate, its exact bound, and whether its limit holds."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats

from mlops.core.paired import holm

CONFIDENCE = 0.95  # of each cell's own bound
LEVEL = 0.05  # of the family of cells of one part, by Holm


@dataclass(frozen=True)
class Cell:
    """How often something happened in simulated replicates.

    Attributes:
        part: which claim it belongs to.
        name: what was simulated.
        hits: replicates in which it happened.
        trials: replicates.
        limit: what the true rate may be at most, or at least.
        at_least: whether `limit` is a floor.
        claimed: whether the limit is claimed; else the cell is reported only.
        exact: the rate by enumeration of every table, where that was possible.
    """

    part: str
    name: str
    hits: int
    trials: int
    limit: float
    at_least: bool = False
    claimed: bool = True
    exact: float | None = None

    @property
    def rate(self) -> float:
        """Share of the replicates."""
        return self.hits / self.trials

    @property
    def bound(self) -> float:
        """One-sided exact binomial bound of the true rate, away from the limit's good side."""
        side = "greater" if self.at_least else "less"
        found = stats.binomtest(self.hits, self.trials, alternative=side)
        interval = found.proportion_ci(CONFIDENCE, method="exact")
        return float(interval.low if self.at_least else interval.high)

    @property
    def p_value(self) -> float:
        """Exact one-sided p-value of `the true rate keeps the limit`."""
        if self.at_least:
            return float(stats.binom.cdf(self.hits, self.trials, self.limit))
        return float(stats.binom.sf(self.hits - 1, self.trials, self.limit))

    @property
    def ratio(self) -> float:
        """How near the limit the rate is: above 1 is beyond it."""
        return self.limit / max(self.rate, 1e-12) if self.at_least else self.rate / self.limit


def broken(cells: list[Cell]) -> list[Cell]:
    """Return the cells whose limit does not hold, Holm's method over the claimed ones.

    A rate by enumeration needs no chance: it must keep its limit outright.
    """
    claimed = [c for c in cells if c.claimed]
    adjusted = holm([c.p_value for c in claimed])
    return [
        c
        for c, p in zip(claimed, adjusted, strict=True)
        if p <= LEVEL or (c.exact is not None and c.exact > c.limit)
    ]


def worst(cells: list[Cell]) -> Cell:
    """Return the claimed cell that is nearest its limit, or farthest beyond it."""
    return max((c for c in cells if c.claimed), key=lambda c: c.ratio)


def line(cell: Cell) -> str:
    """Write a cell as a row of the printed table."""
    sign = "≥" if cell.at_least else "≤"
    exact = "" if cell.exact is None else f"   exact {cell.exact:.6f}"
    note = "" if cell.claimed else "   (reported, not claimed)"
    return (
        f"  {cell.name:<58} {cell.rate:.6f}  bound {cell.bound:.6f}  {sign} {cell.limit:.6f}"
        f"  n = {cell.trials:,}{exact}{note}"
    )
