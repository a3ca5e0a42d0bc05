"""What a version's windows add up to: carried from one to the next, and told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters import incidents, windows
from mlops.core.continuous import averaged
from mlops.core.words import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from mlops.adapters.baseline import Baseline
    from mlops.adapters.windows import Cut, Window


def carried(connection: sa.Connection, cut: Cut) -> float:
    """Return the evidence that a window begins with: that of the version's window before it.

    It is 0 for a version's first window, and for the first after a drift incident was closed.
    """
    before = windows.get(connection, cut.project, cut.before)
    if before is None or before.cut.last_seq <= incidents.drift_ended(connection, cut.project):
        return 0.0
    return before.evidence


def told(found: Sequence[Window], least: float, baseline: Baseline) -> str:
    """Return why a run of windows is an incident, in words.

    Args:
        found: the run.
        least: the detector's limit.
        baseline: of the version.
    """
    alone = sum(bool(w.verdict.drifted) for w in found)
    lead = averaged([w.verdict for w in found])[0]
    means = dict(zip(baseline.columns.names, baseline.columns.values.mean(axis=0), strict=True))
    words = in_words(lead, float(means.get(lead.column, 0.0)))
    return (
        f"{len(found)} windows together show a shift, {alone or 'none'} alone. Clean ones add up "
        f"to as much once in {least:,.0f} windows; on average {lead.column}: {words}"
    )
