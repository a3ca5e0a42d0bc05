"""What changed in a window, column by column, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.alert import ColumnChange
from mlops.core.significance import adjusted
from mlops.core.words import in_words

if TYPE_CHECKING:
    from mlops.adapters.baseline import Baseline
    from mlops.core.alarm import Verdict
    from mlops.core.columns import Columns


def changes(
    verdict: Verdict, baseline: Baseline, rows: Columns | None = None
) -> tuple[ColumnChange, ...]:
    """Return every monitored column of a window with its change in words, the strongest first."""
    means = dict(zip(baseline.columns.names, baseline.columns.values.mean(axis=0), strict=True))
    p = adjusted(baseline.columns, rows) if rows is not None else {}
    told = sorted(verdict.columns, key=lambda c: -c.value / max(c.threshold, 1e-9))
    alike = _likeness(verdict, baseline, rows)
    return tuple(
        ColumnChange(
            column=c.column, method=c.method, value=c.value, threshold=c.threshold,
            words=in_words(c, float(means.get(c.column, 0.0))) + (alike if c is told[0] else ""),
            p=p.get(c.column),
        )
        for c in told
    )  # fmt: skip


def _likeness(verdict: Verdict, baseline: Baseline, rows: Columns | None) -> str:
    """Say after the strongest column which known corruption a drifted window looks like."""
    if rows is None or not verdict.drifted or baseline.likenesses is None:
        return ""
    found = baseline.likenesses.match(rows)
    return f"; {found.words}" if found else ""
