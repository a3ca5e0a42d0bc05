"""What the trigger refuses to a cause without an incident: told once, not at every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters.sql.tables import leases
from mlops.core.trigger import told
from mlops.site import Event

if TYPE_CHECKING:
    from mlops.core.trigger import Answer, Cause, Loop


def heard(
    connection: sa.Connection,
    project: str,
    cause: Cause,
    answer: Answer,
    loop: Loop,
    *,
    due: bool,
) -> tuple[Event, ...]:
    """Note the trigger's answer to a cause; return the event that it refused, if that is news.

    It is news if the answer before was another one; a probe's refusal also for each new probe.

    Args:
        connection: inside a transaction that has taken `windows.serialise`.
        project: whose.
        cause: what asked.
        answer: the trigger's.
        loop: what was so, with the probe.
        due: whether its time has come: before, nothing is refused.
    """
    news = _note(connection, project, cause, answer.why if due else "not due")
    probed = answer.why == "gain" and loop.worth is not None and loop.worth.fresh
    if answer.requested or not due or not (news or probed):
        return ()
    payload = {"project": project, "why": answer.why, "reason": told(cause, answer.reason)}
    return (Event("retrain.refused", f"{project}-{cause}", {**payload}),)


def _note(connection: sa.Connection, project: str, cause: Cause, why: str) -> bool:
    """Keep the answer in the place of the one before; say whether it is another."""
    name = f"answer to {cause}"
    mine = (leases.c.project == project) & (leases.c.name == name)
    if connection.scalar(sa.select(leases.c.holder).where(mine)) == why:
        return False
    connection.execute(leases.delete().where(mine))
    row = {"project": project, "name": name, "holder": why, "expires_s": 0.0}
    connection.execute(leases.insert().values(row))
    return True
