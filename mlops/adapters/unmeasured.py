"""A loss that nothing measures any more: it stays open, and says since when and what would tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters import incidents, measured, windows
from mlops.adapters.effect import not_measured
from mlops.adapters.sql.tables import SERVED, predictions
from mlops.core.power import labels_needed

if TYPE_CHECKING:
    from mlops.adapters.asking import Sections
    from mlops.adapters.incidents import Incident
    from mlops.adapters.measured import Expected


def note(
    engine: sa.Engine,
    project: str,
    sections: Sections,
    serving: str,
    *,
    repeat_hours: float,
    now_s: float,
) -> None:
    """Note in an open incident that its loss is not measured any more, or is again.

    Unknown is not healthy, so nothing is closed; it becomes due to be told, once. Labels are
    overdue when the oldest prediction after the newest measured one should have had its label for
    so long as an incident waits for a person until it is told again.

    Args:
        engine: the project's database.
        project: its name.
        sections: of `params.yaml`.
        serving: the version in service.
        repeat_hours: `mail.repeat_hours`.
        now_s: seconds since 1970.
    """
    expected = measured.expect(sections.labels, now_s)
    with engine.begin() as connection:
        windows.serialise(connection)
        held = incidents.find_open(connection, project, "drift")
        if held is None:
            return
        since_s = 0.0
        if held.body.lossy:
            before_s = expected.until_s - 3600 * repeat_hours
            since_s = _overdue(connection, held, serving, expected, before_s)
        if since_s == held.body.unmeasured_s:
            return
        monitoring = sections.monitoring
        labels = max(monitoring.min_labels, labels_needed(
            held.body.reference_accuracy or 1.0, monitoring.accuracy_margin
        ))  # fmt: skip
        incidents.save(connection, _noted(held, since_s, labels, now_s))


def _overdue(
    connection: sa.Connection, held: Incident, serving: str, expected: Expected, before_s: float
) -> float:
    """Return since when nothing is measured; 0 while labels come, or none is overdue."""
    since_s = max(
        measured.newest_s(connection, held.project, version, held.body.since_seq, expected)
        for version in (held.version, serving)
    )
    since_s = since_s or held.opened_s
    first_s = _first_after(connection, held.project, serving, since_s)
    return since_s if first_s is not None and first_s <= before_s else 0.0


def _noted(held: Incident, since_s: float, labels: int, now_s: float) -> Incident:
    body = replace(held.body, unmeasured_s=since_s, unmeasured_labels=labels if since_s else 0)
    if not since_s:
        said = "labels came again" if body.lossy else "nothing is left to measure"
        return replace(held, body=body.told(now_s, said), updated_s=now_s)
    made = replace(held, body=body, updated_s=now_s)
    due = body.due if held.body.unmeasured_s else (*body.due, "overdue")
    told = replace(body, due=due).told(now_s, not_measured(made))
    return replace(made, body=told)


def _first_after(
    connection: sa.Connection, project: str, version: str, after_s: float
) -> float | None:
    """Return when a version predicted first after a time, seconds since 1970; None: not yet."""
    mine = (predictions.c.project == project) & SERVED & (predictions.c.version == version)
    query = sa.select(sa.func.min(predictions.c.at_s)).where(mine & (predictions.c.at_s > after_s))
    found = connection.scalar(query)
    return None if found is None else float(found)
