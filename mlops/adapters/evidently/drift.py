"""Evidently's distances of a window's columns, with our methods and thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops.adapters.evidently.run import Part, agree, run, same, shown
from mlops.core.columns import PREDICTED
from mlops.core.drift import HOTELLING, presort, statistics
from mlops.core.sent import evenly
from mlops.errors import MonitorError

if TYPE_CHECKING:
    import pandas as pd

    from mlops.core.alarm import ColumnVerdict, Verdict
    from mlops.core.columns import Columns


def drift(reference: Columns, window: Columns, verdict: Verdict, name: str) -> Part:
    """Compute the drift part of a page; of large tables on a sample.

    Args:
        reference: that the window is compared with.
        window: its sound rows.
        verdict: what the trigger acted on.
        name: of the window, for messages.

    Raises:
        MonitorError: if Evidently computes another number or counts other columns as drifted
            than the verdict: page and trigger must be the same thing. Of a sample, if it differs
            from our own number of that sample, or the verdict from our number of all rows.
    """
    if reference.names != window.names:
        msg = (
            f"window {name}: the columns in our verdict are {', '.join(window.names)}; the "
            f"reference now gives {', '.join(reference.names)}: not the one that was used"
        )
        raise MonitorError(msg)
    old, new = sample(reference), sample(window)
    told = verdict
    sampled = (len(old), len(new)) != (len(reference), len(window))
    if sampled or len(its_own(verdict)) < len(verdict.columns):
        _recompute(reference, window, verdict, name)
    if sampled:
        told = computed(old, new, verdict)
    snapshot = run_drift(old, new, told)
    content = snapshot.dict()
    _compare(content, told, name)
    return Part("drift", snapshot.to_snapshot_model().widgets, content["metrics"])


def its_own(verdict: Verdict) -> tuple[ColumnVerdict, ...]:
    """Return the columns whose distances Evidently has; that of an embedding as one it has not."""
    return tuple(c for c in verdict.columns if c.method != HOTELLING)


def sample(rows: Columns) -> Columns:
    """Return the rows that the page is made of: evenly spread, all if they are few."""
    at = evenly(len(rows))
    return rows if len(at) == len(rows) else rows.take(at)


def computed(reference: Columns, window: Columns, verdict: Verdict) -> Verdict:
    """Return a verdict's columns with the distances of these rows.

    Args:
        reference: that the window is compared with.
        window: a sample, or all of it.
        verdict: whose columns, methods and thresholds are meant.
    """
    found = statistics(presort(reference), window).tolist()
    value = dict(zip(window.all_names, found, strict=True))
    columns = tuple(
        replace(c, value=value[c.column], drifted=value[c.column] >= c.threshold)
        for c in verdict.columns
    )
    return replace(verdict, columns=columns)


def values(content: dict[str, Any]) -> dict[str, float]:
    """Return the statistic of each column in a report, by the column's name."""
    return {
        metric["config"]["column"]: float(metric["value"])
        for metric in content["metrics"]
        if metric["config"]["type"].endswith(":ValueDrift")
    }


def run_drift(reference: Columns, window: Columns, verdict: Verdict) -> Any:
    """Return Evidently's snapshot of these rows."""
    from evidently.presets import DataDriftPreset

    known = its_own(verdict)
    preset = DataDriftPreset(
        columns=[shown(c.column) for c in known],
        per_column_method={shown(c.column): c.method for c in known},
        per_column_threshold={shown(c.column): c.threshold for c in known},
        drift_share=1 / len(known),  # one column is an alarm: the page's headline too
    )
    return run(
        [preset], _frame(window), _frame(reference),
        numerical_columns=[shown(name) for name in reference.names if name not in reference.named],
        categorical_columns=[*map(shown, reference.named), PREDICTED],
    )  # fmt: skip


def _frame(rows: Columns) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows.values, columns=[shown(name) for name in rows.names])
    for name in map(shown, rows.named):
        table[name] = table[name].astype(int).astype(str)
    table[PREDICTED] = rows.predicted.astype(str)
    return table


def _compare(content: dict[str, Any], verdict: Verdict, window: str) -> None:
    told = values(content)
    for column in its_own(verdict):
        agree(f"window {window}: {column.column}", column.value, told.get(shown(column.column)))
    counted = next(
        int(metric["value"]["count"])
        for metric in content["metrics"]
        if metric["config"]["type"].endswith(":DriftedColumnsCount")
    )
    ours = sum(c.drifted for c in its_own(verdict))
    if counted != ours:
        msg = f"window {window}: {ours} columns drifted by our verdict, {counted} by Evidently"
        raise MonitorError(msg)


def _recompute(reference: Columns, window: Columns, verdict: Verdict, name: str) -> None:
    """Hold the verdict against the rows that are kept, where Evidently does not."""
    for told, now in zip(
        verdict.columns, computed(reference, window, verdict).columns, strict=True
    ):
        if not same(told.value, now.value):
            msg = (
                f"window {name}: {told.column} is {told.value!r} in our verdict and "
                f"{now.value!r} of the rows that are kept; do not trust either, report this "
                "as a defect"
            )
            raise MonitorError(msg)
