"""A project to which no prediction comes any more: nothing to judge is not healthy, either."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters import incidents, windows
from mlops.adapters.happened import event, join
from mlops.adapters.incidents import Findings, Incident, Moment
from mlops.adapters.sql.tables import SERVED, predictions
from mlops.core.volume import SPANS, silence
from mlops.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.site import Event

_SEVERITY = 5  # as of all broken data


def respond(
    engine: sa.Engine, project: str, versions: Sequence[str], serving: str, *, now_s: float
) -> tuple[Event, ...]:
    """Open a quality incident where predictions have stopped; one that is open already notes it.

    Windows that come later close it, as they close every other. In one transaction: run again, it
    changes nothing.

    Args:
        engine: the project's database.
        project: its name.
        versions: that have predicted.
        serving: the version in service.
        now_s: seconds since 1970.
    """
    with engine.begin() as connection:
        windows.serialise(connection)
        newest_s = max(_newest_s(connection, project, version) for version in versions)
        words = silence(now_s - newest_s, windows.spans(connection, project, SPANS))
        if not words:
            return ()
        held = incidents.find_open(connection, project, "quality")
        if held is not None:
            return _note(connection, held, words, newest_s, now_s)
        name = f"stop-{project}-{newest_s:.0f}"
        if _known(connection, project, name):
            return ()
        seq = _last_seq(connection, project)
        body = Findings(
            since_seq=seq, opened_seq=seq, breaks=(words,), causes=(words,),
            severity=_SEVERITY,
            timeline=(Moment(now_s, f"opened: {words}"), Moment(now_s, _since(newest_s))),
            due=("needs you",),
        ).owing("quality.broken", words)  # fmt: skip
        made = incidents.open_once(connection, Incident(
            id=name, project=project, kind="quality", cause=words, version=serving, state="open",
            opened_s=now_s, updated_s=now_s, resolved_s=None, body=body,
        ))  # fmt: skip
        return (event("quality.broken", made),)


def _newest_s(connection: sa.Connection, project: str, version: str) -> float:
    """Return when a version predicted last, which is not what was logged last: a seek in an index.

    A server may hand over now what it had to keep for hours.
    """
    mine = (predictions.c.project == project) & (predictions.c.version == version) & SERVED
    return float(connection.scalar(sa.select(sa.func.max(predictions.c.at_s)).where(mine)) or 0.0)


def _last_seq(connection: sa.Connection, project: str) -> int:
    mine = (predictions.c.project == project) & SERVED
    query = sa.select(predictions.c.seq).where(mine).order_by(predictions.c.seq.desc()).limit(1)
    return int(connection.scalar(query) or 0)


def _note(
    connection: sa.Connection, held: Incident, words: str, newest_s: float, now_s: float
) -> tuple[Event, ...]:
    """Note a stop in the quality incident that is open already, once."""
    said = _since(newest_s)
    if said in [moment.words for moment in held.body.timeline]:
        return ()
    held, happened = join(held, (words,), now_s)
    incidents.save(connection, replace(held, body=held.body.told(now_s, said)))
    return happened


def _since(newest_s: float) -> str:
    return f"no prediction since {datetime.fromtimestamp(newest_s, UTC):%Y-%m-%d %H:%M} UTC"


def _known(connection: sa.Connection, project: str, name: str) -> bool:
    """Say whether this very stop was an incident already: then a person has closed it."""
    try:
        incidents.get(connection, project, name)
    except Unknown:
        return False
    return True
