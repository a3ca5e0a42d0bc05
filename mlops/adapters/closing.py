"""A person closes an incident that would stay open: on record, with who and why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.adapters import incidents, windows
from mlops.adapters.response import resolve
from mlops.errors import UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.incidents import Incident


def close(
    engine: sa.Engine, project: str, incident: str, *, by: str, why: str, now_s: float
) -> Incident:
    """Close an open incident; what is still wrong opens the next one, from later windows alone.

    Args:
        engine: the project's database.
        project: its name.
        incident: its id.
        by: who.
        why: in their words.
        now_s: seconds since 1970.

    Raises:
        Unknown: if there is no such incident.
        UsageError: if no reason is given, it is closed already, or it is the server's.
    """
    if not why.strip():
        msg = f"incident {incident}: say why it is closed: mlops incident {incident} --close WHY"
        raise UsageError(msg)
    with engine.begin() as connection:
        windows.serialise(connection)
        held = incidents.get(connection, project, incident)
        if held.state != "open":
            msg = f"incident {held.id}: it is {held.state} already; see: mlops incidents --all"
            raise UsageError(msg)
        if held.kind == "serving":
            msg = f"incident {held.id}: the server closes it once it serves; see: mlops status"
            raise UsageError(msg)
        newest = windows.latest(connection, project, 1)
        seq = newest[0].cut.last_seq if newest else held.body.opened_seq
        body = replace(held.body, closed=f"{by}: {' '.join(why.split())}", lossy=False)
        said = f"closed by {body.closed}"
        return resolve(connection, replace(held, body=body), said, seq=seq, now_s=now_s)
