"""A project to which no prediction comes any more: nothing to judge is not healthy, either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters import incidents, windows
from mlops.adapters.incidents import Findings, Incident, Moment
from mlops.adapters.response import event
from mlops.adapters.sql.tables import SERVED, predictions
from mlops.core.volume import SPANS, silence
from mlops.errors import Unknown

if TYPE_CHECKING:
    from mlops.site import Event

_SEVERITY = 5  # as of all broken data


def respond(engine: sa.Engine, project: str, serving: str, *, now_s: float) -> tuple[Event, ...]:
    """Open a quality incident where predictions have stopped, unless one of its kind is open.

    Windows that come later close it, as they close every other. In one transaction: run again, it
    changes nothing.

    Args:
        engine: the project's database.
        project: its name.
        serving: the version in service.
        now_s: seconds since 1970.
    """
    newest = (
        sa.select(predictions.c.seq, predictions.c.at_s)
        .where((predictions.c.project == project) & SERVED)
        .order_by(predictions.c.seq.desc())
        .limit(1)
    )
    with engine.begin() as connection:
        windows.serialise(connection)
        last = connection.execute(newest).first()
        if last is None or incidents.find_open(connection, project, "quality") is not None:
            return ()
        words = silence(now_s - last.at_s, windows.spans(connection, project, SPANS))
        name = f"stop-{project}-{last.seq}"
        if not words or _known(connection, project, name):
            return ()
        body = Findings(
            since_seq=last.seq, opened_seq=last.seq, breaks=(words,), severity=_SEVERITY,
            timeline=(Moment(now_s, f"opened: {words}"),), due=("needs you",),
        )  # fmt: skip
        made = incidents.open_once(connection, Incident(
            id=name, project=project, kind="quality", cause=words, version=serving, state="open",
            opened_s=now_s, updated_s=now_s, resolved_s=None, body=body,
        ))  # fmt: skip
        return (event("quality.broken", made),)


def _known(connection: sa.Connection, project: str, name: str) -> bool:
    """Say whether this very stop was an incident already: then a person has closed it."""
    try:
        incidents.get(connection, project, name)
    except Unknown:
        return False
    return True
