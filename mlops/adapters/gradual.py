"""The rule over single windows and over what a version's windows add up to, and its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import incidents, windows
from mlops.core.continuous import averaged
from mlops.core.words import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from mlops.adapters.baseline import Baseline
    from mlops.adapters.windows import Cut, Window
    from mlops.core.alarm import Rule
    from mlops.core.continuous import Detector

_NONE_YET = 1.0  # evidence below it says nothing; what came before did not lead to what is now


@dataclass(frozen=True)
class CompleteRule:
    """The complete rule: over single windows, and over what they add up to."""

    single: Rule
    detector: Detector | None

    def gathered(self, window: Window) -> bool:
        """Say whether a window's evidence opens an incident."""
        return self.detector is not None and self.detector.raises(window.evidence)

    def clears(self, window: Window, since: Sequence[Window]) -> bool:
        """Say whether quiet windows close an incident; the evidence must have faded as well."""
        faded = self.detector is None or self.detector.clears(window.evidence)
        return faded and self.single.clears([bool(w.verdict.drifted) for w in since])


def carried(connection: sa.Connection, cut: Cut) -> float:
    """Return the evidence that a window begins with: that of the version's window before it.

    It is 0 for a version's first window, and for the first after a drift incident was closed.
    """
    before = windows.get(connection, cut.project, cut.before)
    if before is None or before.cut.last_seq <= incidents.drift_ended(connection, cut.project):
        return 0.0
    return before.evidence


def run(found: Sequence[Window]) -> Sequence[Window]:
    """Return the windows that the newest one's evidence comes from, oldest first."""
    last = max((n for n, w in enumerate(found) if w.evidence < _NONE_YET), default=-1)
    return found[last + 1 :]


def told(found: Sequence[Window], least: float, baseline: Baseline) -> tuple[str, str]:
    """Return the column that leads over a run of windows, and why they are an incident, in words.

    Args:
        found: the run.
        least: the detector's limit.
        baseline: of the version.
    """
    alone = sum(bool(w.verdict.drifted) for w in found)
    lead = averaged([w.verdict for w in found])[0]
    means = dict(zip(baseline.columns.names, baseline.columns.values.mean(axis=0), strict=True))
    words = in_words(lead, float(means.get(lead.column, 0.0)))
    return lead.column, (
        f"{len(found)} windows together show a shift, {alone or 'none'} alone. Clean ones add up "
        f"to as much once in {least:,.0f} windows; on average {lead.column}: {words}"
    )
