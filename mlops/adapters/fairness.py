"""How a model's accuracy differs between groups of rows: Fairlearn's MetricFrame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.fairness import Counted, spread
from mlops.core.intervals import Interval, wilson
from mlops.core.metrics import predicted
from mlops.core.slices import EVERYTHING
from mlops.errors import ParamsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.assessment import Rules, Scored
    from mlops.core.slices import Part


@dataclass(frozen=True)
class Group:
    """The rows with one value of a protected column.

    Attributes:
        value: of the column.
        n: rows.
        accuracy: with Wilson's interval; None where there are too few rows to compare.
    """

    value: str
    n: int
    accuracy: Interval | None


@dataclass(frozen=True)
class Fairness:
    """The groups of one protected column.

    Attributes:
        column: its name.
        groups: in the order of its values.
        difference: largest accuracy minus smallest; None with fewer than two groups to compare.
        ratio: smallest accuracy over largest; None likewise.
    """

    column: str
    groups: tuple[Group, ...]
    difference: Interval | None
    ratio: Interval | None


def compare_groups(scored: Scored, parts: Sequence[Part], column: str, rules: Rules) -> Fairness:
    """Return the accuracy of every group of a column, and how far apart they are.

    The intervals of difference and ratio are those of `mlops.core.fairness.spread`.

    Args:
        scored: N rows with the model's answers.
        parts: the slices of these rows; those of one column do not overlap.
        column: which of them are the groups.
        rules: coverage, and the fewest rows of a group: smaller ones are listed, not compared.

    Raises:
        ParamsError: if no slice has the column's name.
    """
    own = [part for part in parts if part.name == column and column != EVERYTHING]
    if not own:
        known = dict.fromkeys(part.name for part in parts if part.name != EVERYTHING)
        raise ParamsError(
            f'params.yaml: evaluate.protected names "{column}", of which there are no slices; '
            f"choose from: {', '.join(known)}"
        )
    from fairlearn.metrics import MetricFrame, count
    from sklearn.metrics import accuracy_score

    compared = [part for part in own if part.mask.sum() >= max(1, rules.min_slice_rows)]
    groups = tuple(Group(part.value, int(part.mask.sum()), None) for part in own)
    if len(compared) < 2:
        return Fairness(column, groups, None, None)
    value_N = np.full(len(scored.label), "", dtype=object)
    for part in compared:
        value_N[part.mask] = part.value
    chosen = value_N != ""
    frame = MetricFrame(
        metrics={"accuracy": accuracy_score, "n": count}, y_true=scored.label[chosen],
        y_pred=predicted(scored.probabilities)[chosen], sensitive_features=value_N[chosen],
    )  # fmt: skip
    counted = [
        Counted(str(value), round(row["accuracy"] * row["n"]), int(row["n"]))
        for value, row in frame.by_group.iterrows()
    ]
    known = {g.name: wilson(g.hits, g.rows, rules.confidence) for g in counted}
    difference, ratio = spread(counted, rules.confidence)
    return Fairness(
        column,
        tuple(Group(g.value, g.n, known.get(g.value)) for g in groups),
        replace(difference, value=float(frame.difference()["accuracy"])),
        replace(ratio, value=float(frame.ratio()["accuracy"])),
    )
