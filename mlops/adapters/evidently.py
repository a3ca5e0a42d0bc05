"""Evidently's page of a window, made of our numbers and held against our verdict."""

from __future__ import annotations

import warnings
from html import escape
from typing import TYPE_CHECKING, Any

from mlops.adapters.files import replacing
from mlops.adapters.two_baselines import STYLE
from mlops.core.columns import PREDICTED
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from mlops.adapters.two_baselines import Beside
    from mlops.core.alarm import Verdict
    from mlops.core.columns import Columns

TOLERANCE = 1e-9
"""Largest difference between Evidently's value of a column and ours."""


def make_report(
    reference: Columns,
    window: Columns,
    verdict: Verdict,
    folder: Path,
    beside: Beside | None = None,
    *,
    note: str = "",
) -> None:
    """Write `report.html` and `report.json` of a window, with our methods and thresholds.

    The distances from the fixed reference, that Evidently computes once more, stand above its page.

    Args:
        reference: of the version that predicted.
        window: the window's sound rows.
        verdict: what the trigger acted on.
        folder: the window's folder.
        beside: the window against the fixed reference; None for nothing of it.
        note: what stands above it all, such as what is not watched.

    Raises:
        MonitorError: if Evidently computes another number or counts other columns as drifted
            than the verdict: page and trigger must be the same thing.
    """
    if reference.names != window.names:
        msg = (
            f"window {folder.name}: the columns in our verdict are {', '.join(window.names)}; the "
            f"reference now gives {', '.join(reference.names)}: not the one that was used"
        )
        raise MonitorError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's own, of litestar and numpy
        snapshot = _run(reference, window, verdict)
        _compare(snapshot.dict(), verdict, folder.name)
        if beside is not None and beside.reference is not None:
            again = _run(beside.reference, window, beside.verdict)
            _compare(again.dict(), beside.verdict, f"{folder.name} against the fixed reference")
        with replacing(folder / "report.html") as temporary:
            snapshot.save_html(str(temporary))
            told = f'<p style="{STYLE}">{escape(note)}.</p>' if note else ""
            told += beside.section(verdict) if beside is not None else ""
            if told:
                page = temporary.read_text(encoding="utf-8")
                temporary.write_text(page.replace("<body>", f"<body>{told}", 1), encoding="utf-8")
        with replacing(folder / "report.json") as temporary:
            snapshot.save_json(str(temporary))


def values(content: dict[str, Any]) -> dict[str, float]:
    """Return the statistic of each column in a report, by the column's name."""
    return {
        metric["config"]["column"]: float(metric["value"])
        for metric in content["metrics"]
        if metric["config"]["type"].endswith(":ValueDrift")
    }


def _run(reference: Columns, window: Columns, verdict: Verdict) -> Any:  # Evidently's snapshot
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[shown(name) for name in reference.names if name not in reference.named],
        categorical_columns=[*map(shown, reference.named), PREDICTED],
    )
    old, new = (Dataset.from_pandas(_frame(c), definition) for c in (reference, window))
    preset = DataDriftPreset(
        columns=[shown(c.column) for c in verdict.columns],
        per_column_method={shown(c.column): c.method for c in verdict.columns},
        per_column_threshold={shown(c.column): c.threshold for c in verdict.columns},
        drift_share=1 / len(verdict.columns),  # one column is an alarm: the page's headline too
    )
    return Report([preset]).run(new, old)


def shown(name: str) -> str:
    """Return a column's name as it stands on the page: Evidently puts it into a script as it is.

    A name with `</script>` in it would end that script, and begin another.
    """
    return name.replace("<", "\u2039")


def _frame(rows: Columns) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows.values, columns=[shown(name) for name in rows.names])
    for name in map(shown, rows.named):
        table[name] = table[name].astype(int).astype(str)
    table[PREDICTED] = rows.predicted.astype(str)
    return table


def _compare(content: dict[str, Any], verdict: Verdict, window: str) -> None:
    told = values(content)
    for column in verdict.columns:
        there = told.get(shown(column.column))
        if there is None or abs(there - column.value) > TOLERANCE:
            msg = (
                f"window {window}: {column.column} is {column.value:.12g} in our verdict and "
                f"{there} in Evidently's report; do not trust either, report this as a defect"
            )
            raise MonitorError(msg)
    counted = next(
        int(metric["value"]["count"])
        for metric in content["metrics"]
        if metric["config"]["type"].endswith(":DriftedColumnsCount")
    )
    ours = sum(c.drifted for c in verdict.columns)
    if counted != ours:
        msg = f"window {window}: {ours} columns drifted by our verdict, {counted} by Evidently"
        raise MonitorError(msg)
