"""Declared slices: parts of the rows by class, by origin, by what the examples look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core import metrics
from mlops.core.clustered import share
from mlops.core.columns import looks
from mlops.core.intervals import Interval, bootstrap_all
from mlops.core.schema import MISSING_CATEGORY, categories, category_name
from mlops.core.weakness import Rules as SearchRules
from mlops.core.weakness import compare, find_slices, finding_half

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.assessment import Rules, Scored
    from mlops.core.schema import Schema

EVERYTHING, FOUND, ABSENT = "all", "found", "missing"
_MOST_CATEGORIES = 12  # of a column, beside those that are rarer, which count as one


@dataclass(frozen=True)
class Part:
    """Rows with one value of one property.

    Attributes:
        name: the property: `all`, `class`, `origin`, or a column of the examples.
        value: its value; of a column `low`, `middle`, `high`, or `missing`.
        limits: what that means for a column, such as `≤ 0.21`; empty for others.
        mask: bool (N,).
    """

    name: str
    value: str
    limits: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """What the model is worth on the rows that have one value of one property.

    Attributes:
        name: the property, or `found` for a slice that was searched for.
        value: its value; of a found slice its conditions.
        limits: as in `Part`.
        n: rows.
        score: accuracy with Wilson's interval, or of a regression the mean absolute error with a
            bootstrap's; None if there are fewer than `min_slice_rows`, or errors of one key.
        loss: log loss in nats, or of a regression the root mean squared error; None likewise.
        adjusted_p: one-sided p-value of `no worse than the other rows`, after Holm over the
            slices of its kind; None likewise, and for all rows.
    """

    name: str
    value: str
    limits: str
    n: int
    score: Interval | None
    loss: float | None
    adjusted_p: float | None

    @property
    def status(self) -> str:
        """`assessed`, or `not assessable` for want of rows."""
        return "not assessable" if self.score is None else "assessed"


def properties(
    features: NDArray[Any], schema: Schema
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return what rows are cut by: names, and float64 (N, C), NaN where a number is missing.

    `mlops.core.columns.looks` else has 0 there, which would hide them among the rows that have it.
    """
    return looks(features, schema, blank_as=np.nan)


def terciles(column_NC: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """Return where each column is cut into thirds; fewer cuts where values crowd.

    Two cuts, rounded to three digits so that they can be read; one if both are equal, none if a
    third would hold no row. Rows without a value count for nothing.
    """
    out: list[tuple[float, ...]] = []
    for all_N in column_NC.T:
        value_N = all_N[~np.isnan(all_N)]
        if len(value_N) == 0:
            out.append(())
            continue
        cuts = sorted({float(f"{c:.3g}") for c in np.quantile(value_N, [1 / 3, 2 / 3])})
        out.append(tuple(c for c in cuts if value_N.min() <= c < value_N.max()))
    return tuple(out)


def parts(
    rows: Scored,
    schema: Schema,
    column_NC: NDArray[np.float64],
    names: Sequence[str],
    cuts: Sequence[Sequence[float]],
) -> tuple[Part, ...]:
    """Return all rows, each class, each origin, the thirds of each column, and its missing.

    Args:
        rows: N rows.
        schema: of the examples: names of the classes, and of categories.
        column_NC: what the examples look like: `properties`.
        names: of the C columns.
        cuts: of `terciles`, of these rows or of others that these are compared with.
    """
    everything = np.ones(len(rows.label), dtype=bool)
    out = [Part(EVERYTHING, "all", "", everything)]
    out += [Part("class", name, "", rows.label == k) for k, name in enumerate(schema.classes)]
    out.append(Part("origin", "base", "", ~rows.production))
    out.append(Part("origin", "production", "", rows.production))
    known = categories(schema)
    for c, (name, where) in enumerate(zip(names, cuts, strict=True)):
        if name in known:
            out += named(name, known[name], column_NC[:, c])
            continue
        limits = (-np.inf, *where, np.inf)
        words = ("low", "middle", "high") if len(where) == 2 else ("low", "high")
        for value, above, upto in zip(words, limits, limits[1:], strict=False):
            if not where:
                break
            mask_N = (column_NC[:, c] > above) & (column_NC[:, c] <= upto)
            out.append(Part(name, value, _limits(above, upto), mask_N))
        out += absent(name, column_NC[:, c])
    return tuple(out)


def absent(name: str, value_N: NDArray[np.float64]) -> list[Part]:
    """Return the rows of a column that have no value as a slice, if there are any."""
    mask_N = np.isnan(value_N)
    return [Part(name, ABSENT, "", mask_N)] if mask_N.any() else []


def named(name: str, names: tuple[str, ...], code_N: NDArray[np.float64]) -> list[Part]:
    """Return a slice for each category that there are rows of, the most frequent first.

    Those beyond the twelfth are one slice together, but for the missing: no row is in none.
    """
    known, counts = np.unique(code_N, return_counts=True)
    ordered = known[np.argsort(-counts, kind="stable")]
    rare = [code for code in ordered[_MOST_CATEGORIES:] if code != MISSING_CATEGORY]
    out = [
        Part(name, category_name(code, names), "", code_N == code)
        for code in ordered if code not in rare
    ]  # fmt: skip
    return [*out, Part(name, f"{len(rare)} rarer", "", np.isin(code_N, rare))] if rare else out


def _limits(above: float, upto: float) -> str:
    if above == -np.inf:
        return f"≤ {upto:g}"
    return f"> {above:g}" if upto == np.inf else f"{above:g} to {upto:g}"


def measure(rows: Scored, declared: Sequence[Part], rules: Rules) -> tuple[Slice, ...]:
    """Return the score of each part, and whether it is worse than that of the other rows."""
    score_N, loss_N = _per_row(rows)
    least = max(1, rules.min_slice_rows)
    asked = [p for p in declared if p.name != EVERYTHING and p.mask.sum() >= least]
    tested = compare([p.mask for p in asked], goodness(rows), rows.key)
    adjusted = {id(p): t.adjusted for p, t in zip(asked, tested, strict=True)}
    out = []
    for part in declared:
        n, key_N = int(part.mask.sum()), rows.key[part.mask]
        if n < least or (rows.regression and len(np.unique(key_N)) < 2):
            out.append(Slice(part.name, part.value, part.limits, n, None, None, None))
            continue
        chosen_N = score_N[part.mask]
        if rows.regression:
            score = mean_interval(chosen_N, key_N, rules)
            loss = float(np.sqrt(loss_N[part.mask].mean()))
        else:
            score = share(chosen_N, key_N, rules.confidence)
            loss = float(loss_N[part.mask].mean())
        p = adjusted.get(id(part))
        out.append(Slice(part.name, part.value, part.limits, n, score, loss, p))
    return tuple(out)


def goodness(rows: Scored) -> NDArray[np.float64]:
    """Return of each row how good its answer is, float64 (N,): higher is better."""
    score_N, _ = _per_row(rows)
    return -score_N if rows.regression else score_N


def mean_interval(
    value_N: NDArray[np.float64], key_N: NDArray[np.uint64], rules: Rules
) -> Interval:
    """Return a mean with its BCa interval over keys."""
    alone = len(np.unique(key_N)) == len(key_N)
    [found] = bootstrap_all(
        lambda counts: np.array([counts @ value_N / counts.sum()]), len(value_N),
        confidence=rules.confidence, resamples=rules.resamples, seed=rules.seed,
        groups=None if alone else key_N,
    )  # fmt: skip
    return found


def _per_row(rows: Scored) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return score and loss of each row: right or wrong and log loss, or errors and squares."""
    if rows.regression:
        error_N = np.abs(rows.point - rows.label)
        return error_N, error_N**2
    right_N = (metrics.predicted(rows.probabilities) == rows.label).astype(np.float64)
    return right_N, metrics.row_log_loss(rows.label, rows.probabilities)


def find(
    rows: Scored,
    column_NC: NDArray[np.float64],
    names: Sequence[str],
    rules: Rules,
    search: SearchRules,
    *,
    schema: Schema | None = None,
) -> tuple[Slice, ...]:
    """Search half of the rows for weak slices and measure them on the other half."""
    known = categories(schema) if schema else {}
    found = find_slices(column_NC, names, goodness(rows), rows.key, search, categories=known)
    half = ~finding_half(rows.key)
    # One row for each key: only independent rows have Wilson's interval.
    _, first = np.unique(rows.key[half], return_index=True)
    testing_N = np.zeros(len(half), dtype=bool)
    testing_N[np.flatnonzero(half)[first]] = True
    weak = [Part(FOUND, f.name, "", f.mask(column_NC)[testing_N]) for f in found]
    return measure(rows.take(testing_N), weak, rules)
