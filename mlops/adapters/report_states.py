"""What became of the windows' pages, in SQL.

::

    pending ──> made ──> stored (in MLflow, too) | local (its version has no run)
       │         │ ^                 │
       │         │ └── remade ── outdated  <── labels came since it was made
       └──> failed                                     any of them, once it is old ──> pruned

A page is made again and again until its state is noted, and a state is noted only over the one
that it follows: so any process may be killed at any instruction, and two may work at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters.sql.tables import windows
from mlops.adapters.window import MADE, ReportState, parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.adapters.window import Window

_WEEK_S = 7 * 86_400.0
UNPRUNED: tuple[ReportState, ...] = ("pending", "outdated", "failed", *MADE)
"""States of a window whose rows are still here."""


def waiting(connection: sa.Connection, project: str, state: ReportState) -> Sequence[str]:
    """Return the windows whose page is `pending` or `outdated`: alarms first, then the newest.

    All at once: a cursor that is left open keeps SQLite's old snapshot, and its connection could
    never write again.
    """
    query = (
        sa.select(windows.c.id)
        .where((windows.c.project == project) & (windows.c.report == state))
        .order_by(windows.c.alarm.desc(), windows.c.last_seq.desc())
    )
    return connection.scalars(query).all()


def note(
    connection: sa.Connection, window: str, state: ReportState, *, after: Sequence[ReportState]
) -> bool:
    """Record what became of a page, if its state is still one of `after`; say whether it was."""
    mine = (windows.c.id == window) & windows.c.report.in_(after)
    done = connection.execute(
        windows.update().where(mine).values(report=state).returning(windows.c.id)
    )
    return done.first() is not None


def note_made(connection: sa.Connection, window: Window) -> bool:
    """Record that a page is made of a window as it is given; say whether it is to be kept.

    It is outdated at once if labels came while it was made. A pruned one stays pruned.
    """
    if not note(connection, window.id, "made", after=UNPRUNED):
        return False
    # The row is locked by now: no label can come between the look and the end of this transaction.
    row = connection.execute(sa.select(windows).where(windows.c.id == window.id)).one()
    now = parsed(row)
    if (now.labelled, now.correct) != (window.labelled, window.correct):
        note(connection, window.id, "outdated", after=("made",))
    return True


def failed(connection: sa.Connection, project: str, now_s: float) -> tuple[str, ...]:
    """Return the windows of the last week whose page could not be made, the newest first."""
    rows = connection.execute(
        sa.select(windows.c.id)
        .where(windows.c.project == project, windows.c.report == "failed")
        .where(windows.c.end_s > now_s - _WEEK_S)
        .order_by(windows.c.last_seq.desc())
    )
    return tuple(row.id for row in rows)
