"""The realised rate of false incidents and false retrains, counted in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters import incidents, pace
from mlops.adapters.sql.tables import retrains, windows
from mlops.core.quality import is_unusual
from mlops.core.realised import Realised

if TYPE_CHECKING:
    from mlops.adapters.incidents import Incident
    from mlops.params.monitoring import MonitoringSection


def realised(connection: sa.Connection, project: str, monitoring: MonitoringSection) -> Realised:
    """Count what alarms have come to so far, beside what was budgeted for as many windows."""
    judged, alarming, counted = tally(connection, project)
    found = incidents.every(connection, project)
    told = {held.id: held for held in found if budgeted(held)}
    unmeasured = [held for held in told.values() if not worth(held)]
    false = {name for name, held in told.items() if worth(held) == "harmless"}
    mine = (retrains.c.project == project) & retrains.c.incident.is_not(None)
    asked = connection.scalars(sa.select(retrains.c.incident).where(mine)).all()
    minutes = pace.minutes(connection, project) or monitoring.window_minutes
    period = monitoring.budget.per_windows(min(minutes, monitoring.window_minutes))
    return Realised(
        windows=judged, alarming=alarming, counted=counted, incidents=len(told),
        false_incidents=len(false), unmeasured=len(unmeasured),
        overdue=sum(held.body.looked_s > 0 for held in unmeasured),
        breaks=sum(held.kind == "quality" and not budgeted(held) for held in found),
        budget=counted * monitoring.budget.count / period, retrains=len(asked),
        false_retrains=sum(one in false for one in asked),
    )  # fmt: skip


def tally(connection: sa.Connection, project: str, since_s: float = 0.0) -> tuple[int, int, int]:
    """Count the windows that ended after a time, those that alarmed, and those that `counted`.

    Of windows from before that was kept nobody knows: they all did.
    """
    mine = (windows.c.project == project) & (windows.c.end_s > since_s)
    count = sa.select(sa.func.count()).select_from(windows).where(mine)
    only = (sa.true(), windows.c.alarm, windows.c.counted.is_not(sa.false()))
    judged, alarming, counted = (int(connection.scalar(count.where(o)) or 0) for o in only)
    return judged, alarming, counted


def budgeted(held: Incident) -> bool:
    """Say whether an incident counts against the budget: one that a rule opened which may err.

    A missing value is a fact; that rows came in unlike before is a guess, as drift is.
    """
    return held.kind == "drift" or (held.kind == "quality" and is_unusual(held.cause))


def worth(held: Incident) -> str:
    """Return whether an incident was `costly` or `harmless`, if that was measured; else nothing.

    One that labels showed a loss for was costly, also if accuracy is back since.
    """
    told = "costly" if held.body.loss else held.body.triage
    return told if told in ("costly", "harmless") else ""
