"""What closed incidents were worth, now that the labels of their windows are in.

The typical false alarm is over before its labels come: who measures open incidents only never sees
one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.adapters import incidents, measured, windows
from mlops.adapters.realised import budgeted, worth
from mlops.core.triage import triage

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.asking import Sections
    from mlops.adapters.incidents import Incident
    from mlops.adapters.measured import Expected
    from mlops.core.triage import Accuracy, Triage

MOST_INCIDENTS = 20
"""Incidents that one run measures; the next one goes on with those it left."""


def measure(
    engine: sa.Engine, project: str, sections: Sections, *, now_s: float,
    most: int = MOST_INCIDENTS,
) -> tuple[str, ...]:  # fmt: skip
    """Measure closed incidents that nobody has; return those of which more is known than before.

    They are triaged as they would have been while open. Nobody is told: it is a fact of the past,
    kept in the incident, and counted against the budget of false ones. Those that were looked at
    longest ago come first, so that none waits for ever.

    Args:
        engine: the project's database.
        project: its name.
        sections: of `params.yaml`.
        now_s: seconds since 1970.
        most: incidents that are measured.
    """
    expected = measured.expect(sections.labels, now_s)
    with engine.begin() as connection:
        windows.serialise(connection)
        waiting = [i for i in incidents.every(connection, project) if _waits(i, expected.until_s)]
        waiting.sort(key=lambda held: held.body.looked_s)
        found = [
            (held, _measured(connection, held, sections, expected, now_s))
            for held in waiting[:most]
        ]
        for _, now in found:
            incidents.save(connection, now)
    return tuple(now.id for was, now in found if now.body.timeline != was.body.timeline)


def _waits(held: Incident, until_s: float) -> bool:
    """Say whether an incident is closed, not measured, and all its labels have had their time."""
    over = held.resolved_s is not None and held.resolved_s <= until_s
    return over and budgeted(held) and not worth(held)


def _measured(
    connection: sa.Connection, held: Incident, sections: Sections, expected: Expected, now_s: float
) -> Incident:
    """Return an incident with what the labels of its windows say."""
    seen, told = _triaged(connection, held, sections, expected)
    body = held.body
    settled, more = told.kind != "unclear", seen.labelled > body.labelled
    if settled:
        body = replace(body, triage=told.kind, advice=told.words, wanted=0)
    if body.windows and (settled or more or not body.looked_s):
        body = body.told(now_s, f"measured after it was closed: {told.kind}: {told.words}")
    if settled or more:
        body = replace(body, labelled=seen.labelled, accuracy=seen.value)
    return replace(held, body=replace(body, looked_s=now_s))


def _triaged(
    connection: sa.Connection, held: Incident, sections: Sections, expected: Expected
) -> tuple[Accuracy, Triage]:
    """Measure up to the last window that alarmed; where that says too little, up to the close.

    The quiet windows at its end must not hide what the others cost: where those seem to have lost
    more than the margin, and are too few to say so, nothing is said.
    """
    body, monitoring = held.body, sections.monitoring
    alarming = windows.named(connection, held.project, body.windows)
    alarmed_seq = max((w.cut.last_seq for w in alarming), default=body.opened_seq)
    for last_seq in (alarmed_seq, max(alarmed_seq, body.resolved_seq)):
        seen = measured.accuracy(
            connection, held.project, held.version, (body.since_seq, last_seq),
            body.reference_accuracy, regression=body.regression, expected=expected,
        )  # fmt: skip
        told = triage(
            breaks=(), accuracy=seen, margin=monitoring.accuracy_margin,
            min_labels=monitoring.min_labels,
        )  # fmt: skip
        loss = (seen.reference or 0.0) - (seen.value or 0.0)
        if told.kind != "unclear" or (seen.labelled and loss > monitoring.accuracy_margin):
            break
    return seen, told
