"""The realised rate of false incidents and false retrains, counted in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters import incidents, pace, windows
from mlops.adapters.sql.tables import retrains
from mlops.core.realised import Realised

if TYPE_CHECKING:
    from mlops.params.monitoring import MonitoringSection


def realised(connection: sa.Connection, project: str, monitoring: MonitoringSection) -> Realised:
    """Count what alarms have come to so far, beside what was budgeted for as many windows."""
    judged, alarming = windows.tally(connection, project)
    worth = incidents.drift_triages(connection, project)
    mine = (retrains.c.project == project) & retrains.c.incident.is_not(None)
    asked = connection.scalars(sa.select(retrains.c.incident).where(mine)).all()
    minutes = pace.minutes(connection, project) or monitoring.window_minutes
    period = monitoring.budget.per_windows(min(minutes, monitoring.window_minutes))
    told = list(worth.values())
    return Realised(
        windows=judged, alarming=alarming, incidents=len(told),
        false_incidents=told.count("harmless"),
        unmeasured=sum(one not in ("harmless", "costly") for one in told),
        budget=judged * monitoring.budget.count / period, retrains=len(asked),
        false_retrains=sum(worth.get(str(one)) == "harmless" for one in asked),
    )  # fmt: skip
