"""Evidently's counts of what a window's rows held, against those that the verdict's breaks have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.evidently.run import Part, agree, distinct, run
from mlops.core.schema import UNKNOWN_CATEGORY, TableSchema
from mlops.core.usual import Contents, contents, far

if TYPE_CHECKING:
    import pandas as pd

    from mlops.core.schema import Column, Schema
    from mlops.core.sent import Sent, SentRows
    from mlops.core.usual import Usual

UNKNOWN = "(a name that the model does not know)"
ANSWER, SOUND, UNSOUND = "(answer)", "an answer", "none (NaN, or no distribution)"
EXAMPLE, HOLDS, BLANK = "(example)", "holds something", "empty or of one colour"
COPIES = "(times that the example came)"


@dataclass(frozen=True)
class Quality:
    """What the quality part of a page is made of.

    Attributes:
        sent: the window's rows as they came.
        reference: rows of its version's reference.
        schema: of the version.
        usual: what all the reference's rows hold.
    """

    sent: Sent
    reference: SentRows
    schema: Schema
    usual: Usual

    @property
    def counted(self) -> Sent:
        """The window as Evidently sees it: all of it, or the rows that are shown of it."""
        if self.sent.whole:
            return self.sent
        return self.sent.recounted(_held(self.sent.shown, self.schema, self.usual))


@dataclass(frozen=True)
class _Count:
    """One number that both count: what, Evidently's metric, ours, and what says nothing."""

    what: str
    metric: Any
    ours: int
    usual: int = 0


def quality(told: Quality, name: str) -> Part:
    """Compute the quality part of a page.

    Args:
        told: what it is made of.
        name: of the window, for messages.

    Raises:
        MonitorError: if Evidently counts anything else than the verdict's breaks are made of.
    """
    wanted = _counts(told)
    new, old = _frame(told.sent.shown, told.schema), _frame(told.reference, told.schema)
    columns = _columns(told.schema)
    definition = {
        "numerical_columns": [COPIES, *(c.name for c in columns if c.kind == "number")],
        "categorical_columns": [
            ANSWER, EXAMPLE, *(c.name for c in columns if c.kind == "category"),
        ],
    }  # fmt: skip
    counted = run([count.metric for count in wanted], new, old, **definition)
    results = [counted.metric_results[count.metric.get_metric_id()] for count in wanted]
    widgets: list[Any] = []
    for count, result in zip(wanted, results, strict=True):
        agree(f"window {name}: {count.what}", count.ours, _value(result.to_dict()["value"]))
        widgets += result.get_widgets() if count.ours > count.usual else []
    metrics = counted.dict()["metrics"]
    if columns:
        cards = _cards(columns, new, old, definition)
        widgets += cards.to_snapshot_model().widgets
        metrics += cards.dict()["metrics"]
    return Part("quality", widgets, metrics)


def _held(rows: SentRows, schema: Schema, usual: Usual) -> Contents:
    """Count what the rows that are shown hold."""
    if isinstance(schema, TableSchema):
        return contents(rows.features, schema, usual)
    return Contents(len(rows), int(rows.blank.sum()))


def _counts(told: Quality) -> list[_Count]:
    from evidently.metrics import CategoryCount, MaxValue, MissingValueCount, RowCount
    from evidently.metrics import OutRangeValueCount as Outside

    sent, held = told.counted, told.counted.contents
    copies = int(sent.shown.copies.max())
    found = [
        _Count("the number of rows", RowCount(), held.rows),
        _Count("unsound answers", CategoryCount(column=ANSWER, category=UNSOUND), sent.unsound),
        _Count("blank examples", CategoryCount(column=EXAMPLE, category=BLANK), held.blank),
        _Count("copies of an example", MaxValue(column=COPIES), copies, usual=1),
    ]
    for c, column in enumerate(_columns(told.schema)):
        name = column.name
        missing, limits = held.missing[c], far(told.usual.ranges[c])
        found.append(
            # What a card shows needs no counter: only a column without any value has no card.
            _Count(f"{name} missing", MissingValueCount(column=name), missing, held.rows - 1)
        )
        if missing == held.rows:
            continue  # a share of no values is no number
        if column.kind == "category":
            metric = CategoryCount(column=name, category=UNKNOWN)
            found.append(_Count(f"{name} unknown", metric, held.unknown[c]))
        if limits is not None:
            metric = Outside(column=name, left=limits[0], right=limits[1])
            found.append(_Count(f"{name} out of range", metric, held.beyond[c]))
    return found


def _cards(
    columns: tuple[Column, ...],
    new: pd.DataFrame,
    old: pd.DataFrame,
    definition: dict[str, Any],
) -> Any:
    """Return Evidently's card of each column: how many, missing, mean, quantiles, names."""
    from evidently.presets import ValueStats

    full = [
        ValueStats(column=c.name) for c in columns
        if not c.time and new[c.name].notna().any() and old[c.name].notna().any()
    ]  # fmt: skip
    return run(full, new, old, **definition)


def _columns(schema: Schema) -> tuple[Column, ...]:
    """Return a table's columns by the names under which they stand on the page."""
    if not isinstance(schema, TableSchema):
        return ()
    names = distinct((c.name for c in schema.columns), (ANSWER, EXAMPLE, COPIES))
    return tuple(replace(c, name=name) for c, name in zip(schema.columns, names, strict=True))


def _value(value: Any) -> float:
    return float(value["count"] if isinstance(value, dict) else value)


def _frame(rows: SentRows, schema: Schema) -> pd.DataFrame:
    import pandas as pd

    table: dict[str, Any] = {
        ANSWER: np.where(rows.sound, SOUND, UNSOUND),
        EXAMPLE: np.where(rows.blank, BLANK, HOLDS),
        COPIES: rows.copies,
    }
    for c, column in enumerate(_columns(schema)):
        value_N = rows.features[:, c]
        table[column.name] = _names(column, value_N) if column.categories else value_N
    return pd.DataFrame(table)


def _names(column: Column, code_N: np.ndarray[Any, Any]) -> list[str | None]:
    known = distinct(column.categories, (UNKNOWN,))
    return [
        None if np.isnan(code)
        else UNKNOWN if code == UNKNOWN_CATEGORY else known[int(code)]
        for code in code_N
    ]  # fmt: skip
