"""Windows are filled in with labels that came after them, however much later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters import measured, windows
from mlops.adapters.sql import tables
from mlops.adapters.sql.tables import SERVED, labels, predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.adapters.measured import Expected

_CHUNK = 500  # SQLite's oldest limit is 999 variables in one statement
MOST_LABELS = 20_000
"""Labels that one run takes notice of."""
MOST_WINDOWS = 200
"""Windows that one run fills in."""


def backfill(
    engine: sa.Engine,
    project: str,
    expected: Expected,
    now_s: float,
    *,
    most_labels: int = MOST_LABELS,
    most_windows: int = MOST_WINDOWS,
) -> int:
    """Fill in the accuracy of windows whose labels came later; return how many changed.

    Each label marks its window once, and the windows that wait longest come first: a run's work
    is bounded, the next one goes on, and no window is too old.

    Args:
        engine: the project's database.
        project: registered-model name.
        expected: which labels measure.
        now_s: seconds since 1970.
        most_labels: that are taken notice of, in steps of 500.
        most_windows: that are filled in.
    """
    for _ in range(0, most_labels, _CHUNK):
        if not _notice(engine, project, now_s):
            break
    with engine.connect() as connection:
        found = windows.stale(connection, project, until_s=expected.until_s, limit=most_windows)
    return sum(_fill(engine, project, window, expected) for window in found)


def _fill(engine: sa.Engine, project: str, name: str, expected: Expected) -> bool:
    with engine.begin() as connection:
        window = windows.get(connection, project, name)
        return window is not None and measured.renewed(connection, window, expected)[0] != window


def _notice(engine: sa.Engine, project: str, now_s: float) -> bool:
    """Mark the windows of the oldest labels that nobody noticed; say whether there were any.

    A mark instead of a place up to which labels were read: on Postgres one with a smaller `seq`
    may be committed later. A label whose window is not judged yet needs no mark, for a new window
    counts as one that lacks labels.
    """
    fresh = (
        sa.select(labels.c.seq, labels.c.prediction_id)
        .where((labels.c.project == project) & labels.c.noticed.is_(None))
        .order_by(labels.c.seq)
        .limit(_CHUNK)
    )
    with engine.begin() as connection:
        windows.serialise(connection)
        rows = connection.execute(fresh).all()
        if not rows:
            return False
        # Not only where `stale_s` is NULL: a window that is being filled in at this moment is to
        # be waited for, and marked again.
        since = sa.func.coalesce(tables.windows.c.stale_s, now_s)
        theirs = tables.windows.c.id.in_(_holding(project, [row.prediction_id for row in rows]))
        connection.execute(tables.windows.update().where(theirs).values(stale_s=since))
        seen = labels.c.seq.in_([row.seq for row in rows])
        connection.execute(labels.update().where(seen).values(noticed=True))
    return True


def _holding(project: str, ids: Sequence[str]) -> sa.Select[tuple[str]]:
    """Return a query of the windows that hold predictions: one index seek for each of them."""
    held, older = tables.windows.alias(), tables.windows.alias()
    begun = (
        sa.select(sa.func.max(older.c.first_seq))
        .where((older.c.project == project) & (older.c.version == predictions.c.version))
        .where(older.c.first_seq <= predictions.c.seq)
        .correlate(predictions)
        .scalar_subquery()
    )
    same = (held.c.version == predictions.c.version) & (held.c.first_seq == begun)
    return (
        sa.select(held.c.id)
        .select_from(held)
        .join(predictions, (held.c.project == predictions.c.project) & same)
        .where((predictions.c.project == project) & SERVED & predictions.c.id.in_(ids))
        .where(held.c.last_seq >= predictions.c.seq)
    )
