"""A regression's scores on labelled rows with their uncertainty, and what its errors look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core import regression
from mlops.core.assessment import Measured
from mlops.core.clustered import share
from mlops.core.intervals import Interval, bootstrap_all
from mlops.core.schema import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlops.core.assessment import Rules, Scored

BRIEF = frozenset({"mae", "rmse", "r2", "coverage", "constant_mae", "n"})
"""Figures of other rows than the test rows."""
_MEANS = ("mae", "mse", "coverage", "pinball", "width")


def figures(parts: Mapping[str, Scored]) -> dict[str, float]:
    """Return the flat metrics of each part of the rows by name; those of `test` without a prefix.

    `constant_mae` is the error of always answering the rows' own median: a floor.
    """
    out: dict[str, float] = {}
    for part, rows in parts.items():
        found = regression.summary(rows.label, rows.point)
        means = _rows_NM(rows).mean(axis=0)
        found |= {name: float(v) for name, v in zip(_MEANS, means, strict=True)}
        found["constant_mae"] = constant_mae(rows.label)
        kept = {n: v for n, v in found.items() if part == "test" or n in BRIEF}
        out |= {n if part == "test" else f"{part}_{n}": v for n, v in kept.items()}
    return out


def constant_mae(label_N: NDArray[np.float64]) -> float:
    """Return the mean absolute error of the best constant, the median."""
    return float(np.abs(label_N - np.median(label_N)).mean())


def measured(rows: Scored, rules: Rules) -> tuple[Measured, ...]:
    """Return every metric with its interval and the name of the method.

    Coverage has Wilson's interval, of as many rows as they are worth; the rest the bootstrap's,
    over split keys, all from the same resamples, and none where no resample differs. A metric that
    the rows cannot answer is left out.
    """
    label, value_NM = rows.label, _rows_NM(rows)
    relative = np.abs(rows.point - label) / np.where(label == 0.0, np.nan, np.abs(label))
    alone = len(np.unique(rows.key)) == len(rows.key)

    def statistics(counts_N: NDArray[np.int64]) -> NDArray[np.float64]:
        total = counts_N.sum()
        means = counts_N @ value_NM / total
        mean = counts_N @ label / total
        spread = counts_N @ (label - mean) ** 2 / total
        r2 = 1.0 - means[1] / spread if spread > 0.0 else np.nan
        return np.array([*means, np.sqrt(means[1]), r2, counts_N @ relative / total])

    found = bootstrap_all(
        statistics, len(label), confidence=rules.confidence, resamples=rules.resamples,
        seed=rules.seed, groups=None if alone else rows.key,
    )  # fmt: skip
    out = []
    for name, interval in zip((*_MEANS, "rmse", "r2", "mape"), found, strict=True):
        kept = Measured(name, interval, "bootstrap BCa")
        if name == "coverage":
            inside = share(value_NM[:, _MEANS.index("coverage")], rows.key, rules.confidence)
            kept = Measured(name, inside, "wilson" if alone else "wilson, design effect")
        if not np.isfinite([kept.interval.value, kept.interval.low, kept.interval.high]).all():
            continue
        if kept.interval.low == kept.interval.high:
            only = Interval(kept.interval.value, np.nan, np.nan)
            kept = Measured(name, only, "no interval claimed")
        out.append(kept)
    return tuple(sorted(out, key=lambda one: one.name))


def _rows_NM(rows: Scored) -> NDArray[np.float64]:  # noqa: N802 - shapes in names
    """Return the figures of each row whose means are the metrics of `_MEANS`."""
    label, q_NK = rows.label, rows.probabilities.astype(np.float64)
    error_N = np.abs(rows.point - label)
    gap_NK = label[:, None] - q_NK
    levels = np.array(QUANTILES)
    pinball_N = np.maximum(levels * gap_NK, (levels - 1.0) * gap_NK).mean(axis=1)
    inside_N = (q_NK[:, 0] <= label) & (label <= q_NK[:, -1])
    width_N = q_NK[:, -1] - q_NK[:, 0]
    return np.column_stack([error_N, error_N**2, inside_N, pinball_N, width_N])


@dataclass(frozen=True)
class CoverageBin:
    """Rows whose predictions are alike.

    Attributes:
        low: smallest prediction.
        high: largest.
        n: rows.
        coverage: share of targets between the outer quantiles, with Wilson's interval.
    """

    low: float
    high: float
    n: int
    coverage: Interval


def coverage_bins(rows: Scored, rules: Rules) -> tuple[CoverageBin, ...]:
    """Return the coverage by prediction, in bins of equal numbers of rows."""
    inside_N = _rows_NM(rows)[:, _MEANS.index("coverage")]
    order = np.argsort(rows.point, kind="stable")
    parts = [part for part in np.array_split(order, min(rules.bins, len(order))) if len(part)]
    return tuple(
        CoverageBin(
            float(rows.point[part[0]]), float(rows.point[part[-1]]), len(part),
            share(inside_N[part], rows.key[part], rules.confidence),
        )
        for part in parts
    )  # fmt: skip


def normal_quantiles(rows: Scored) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return normal quantiles and the residuals over their spread, sorted, each float64 (N,).

    Source: M. B. Wilk, R. Gnanadesikan, Probability plotting methods (1968).
    """
    residual_N = np.sort(rows.label - rows.point)
    n = len(residual_N)
    expected = stats.norm.ppf((np.arange(n) + 0.5) / n)
    return np.asarray(expected), (residual_N - residual_N.mean()) / (residual_N.std() or 1.0)
