"""Windows in SQL: cut in the order of arrival, judged once, never doubled and never lost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlops.adapters.sql.tables import SERVED, leases, predictions, windows
from mlops.adapters.window import MADE, Cut, Window, parsed, verdict_content, written
from mlops.core.volume import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.alarm import Verdict
    from mlops.core.estimate import ErrorEstimate, Estimate
    from mlops.core.fixed import Fixed
    from mlops.params.monitoring import MonitoringSection

__all__ = ["Cut", "Window", "verdict_content"]

_LOCK = 0x6D6F6E69  # "moni": one judge at a time on Postgres


def serialise(connection: sa.Connection) -> None:
    """Let one transaction at a time decide; the others wait here until it has committed."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    else:  # SQLite locks at the first write of a transaction, also one that matches no row
        connection.execute(leases.update().where(sa.false()).values(holder=""))


def versions(connection: sa.Connection, project: str) -> tuple[str, ...]:
    """Return every version with predictions, the one that predicted last at the end."""
    mine = (predictions.c.project == project) & SERVED
    found: list[tuple[int, str]] = []
    name = connection.scalar(sa.select(sa.func.min(predictions.c.version)).where(mine))
    while name is not None:  # one index seek per version, however long the log is
        its = mine & (predictions.c.version == name)
        newest = (
            sa.select(predictions.c.seq).where(its).order_by(predictions.c.at_s.desc()).limit(1)
        )
        found.append((int(connection.scalar(newest) or 0), name))
        later = mine & (predictions.c.version > name)
        name = connection.scalar(sa.select(sa.func.min(predictions.c.version)).where(later))
    return tuple(version for _, version in sorted(found))


def next_cut(
    connection: sa.Connection,
    project: str,
    version: str,
    monitoring: MonitoringSection,
    *,
    now_s: float,
    receiving: bool,
) -> Cut | None:
    """Return the next complete window of a version, or None while there is none.

    A window is complete with `window_rows`; with `min_rows`, also when its first row is
    `window_minutes` old, or when the version no longer receives traffic.
    """
    last = connection.execute(
        sa.select(windows.c.number, windows.c.last_seq)
        .where((windows.c.project == project) & (windows.c.version == version))
        .order_by(windows.c.number.desc())
        .limit(1)
    ).first()
    number, after = (last.number, last.last_seq) if last else (0, 0)
    rows = connection.execute(
        sa.select(predictions.c.seq, predictions.c.at_s)
        .where(
            (predictions.c.project == project)
            & (predictions.c.version == version)
            & (predictions.c.seq > after)
            & SERVED
        )
        .order_by(predictions.c.seq)
        .limit(monitoring.window_rows)
    ).all()
    if len(rows) < monitoring.window_rows:
        old = rows and now_s - min(r.at_s for r in rows) >= monitoring.window_minutes * 60
        if len(rows) < monitoring.min_rows or not (old or not receiving):
            return None
    return Cut(
        project=project, version=version, number=number + 1, first_seq=rows[0].seq,
        last_seq=rows[-1].seq, rows=len(rows), start_s=min(r.at_s for r in rows),
        end_s=max(r.at_s for r in rows),
    )  # fmt: skip


def read(connection: sa.Connection, cut: Cut) -> Sequence[sa.Row[Any]]:
    """Return a window's predictions in order, as `mlops.adapters.observe` looks at them."""
    wanted = ("example_id", "features", "probabilities", "redacted")
    return connection.execute(
        sa.select(*(predictions.c[name] for name in wanted))
        .where(
            (predictions.c.project == cut.project)
            & (predictions.c.version == cut.version)
            & predictions.c.seq.between(cut.first_seq, cut.last_seq)
            & SERVED
        )
        .order_by(predictions.c.seq)
    ).all()


def insert(
    connection: sa.Connection,
    cut: Cut,
    verdict: Verdict,
    estimate: Estimate | None = None,
    *,
    regression: bool = False,
    evidence: float = 0.0,
    fixed: Fixed | None = None,
    redacted: tuple[str, ...] = (),
    off: ErrorEstimate | None = None,
    counted: bool = True,
) -> Window | None:
    """Insert a judged window and return it; None if somebody else was first.

    `counted` says whether it could open an incident of drift.
    """
    serialise(connection)
    made = Window(cut, verdict, 0, 0, "pending", None, regression, estimate, evidence, fixed,
                  redacted, None, off)  # fmt: skip
    values = {
        **asdict(cut), "id": cut.id, "alarm": verdict.alarm, "report": made.report,
        "verdict": written(made), "incident": None, "counted": counted,
        "stale_s": cut.end_s,  # labels may have come before it was judged
    }  # fmt: skip
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(windows).values(values).on_conflict_do_nothing()
    # Not rowcount: SQLAlchemy leaves it at -1 for this statement on Postgres.
    found = connection.execute(statement.returning(windows.c.id)).first()
    return made if found is not None else None


def latest(connection: sa.Connection, project: str, limit: int) -> tuple[Window, ...]:
    """Return the newest windows of a project, in the order in which they ended."""
    query = sa.select(windows).where(windows.c.project == project)
    rows = connection.execute(query.order_by(windows.c.last_seq.desc()).limit(limit)).all()
    return tuple(parsed(row) for row in reversed(rows))


def latest_of(connection: sa.Connection, cut: Cut, floor: int, limit: int) -> tuple[Window, ...]:
    """Return a version's newest windows up to one of its own, in the order in which they ended.

    Args:
        connection: an open transaction.
        cut: the window up to which; those of other versions beside it are left out.
        floor: a place in the log: windows that ended there or before are left out.
        limit: how many at most.
    """
    mine = (windows.c.project == cut.project) & (windows.c.version == cut.version)
    rows = connection.execute(
        sa.select(windows)
        .where(mine & (windows.c.number <= cut.number) & (windows.c.last_seq > floor))
        .order_by(windows.c.number.desc())
        .limit(limit)
    ).all()
    return tuple(parsed(row) for row in reversed(rows))


def spans(connection: sa.Connection, project: str, limit: int) -> list[Span]:
    """Return when the newest windows began and ended, in the order in which they ended."""
    rows = connection.execute(
        sa.select(windows.c.start_s, windows.c.end_s, windows.c.version)
        .where(windows.c.project == project)
        .order_by(windows.c.last_seq.desc())
        .limit(limit)
    ).all()
    return [Span(float(row.start_s), float(row.end_s), row.version) for row in reversed(rows)]


def named(connection: sa.Connection, project: str, ids: Sequence[str]) -> tuple[Window, ...]:
    """Return windows by their ids, in the order in which they ended."""
    mine = (windows.c.project == project) & windows.c.id.in_(ids)
    rows = connection.execute(sa.select(windows).where(mine).order_by(windows.c.last_seq))
    return tuple(parsed(row) for row in rows)


def complete(
    connection: sa.Connection, project: str, version: str, *, since_seq: int, until_s: float
) -> tuple[Window, ...]:
    """Return a version's windows that end at or after a seq and by a time, oldest first."""
    rows = connection.execute(
        sa.select(windows)
        .where(
            (windows.c.project == project)
            & (windows.c.version == version)
            & (windows.c.last_seq >= since_seq)
            & (windows.c.end_s <= until_s)
        )
        .order_by(windows.c.last_seq)
    )
    return tuple(parsed(row) for row in rows)


def get(connection: sa.Connection, project: str, window: str) -> Window | None:
    """Return one window by its id."""
    mine = (windows.c.project == project) & (windows.c.id == window)
    row = connection.execute(sa.select(windows).where(mine)).first()
    return parsed(row) if row else None


def set_incident(connection: sa.Connection, ids: Sequence[str], incident: str) -> None:
    """Record which incident windows belong to; the first one stays."""
    free = windows.c.id.in_(ids) & windows.c.incident.is_(None)
    connection.execute(windows.update().where(free).values(incident=incident))


def set_measured(connection: sa.Connection, window: Window) -> None:
    """Keep, backwards, what the labels of a window say; a page that shows less is outdated."""
    state = sa.case((windows.c.report.in_(MADE), "outdated"), else_=windows.c.report)
    mine = windows.update().where(windows.c.id == window.id)
    connection.execute(mine.values(verdict=written(window), report=state))


def stale(
    connection: sa.Connection, project: str, *, until_s: float, limit: int
) -> tuple[str, ...]:
    """Return windows that ended by a time and may lack labels, those that wait longest first."""
    rows = connection.execute(
        sa.select(windows.c.id)
        .where((windows.c.project == project) & windows.c.stale_s.is_not(None))
        .where(windows.c.end_s <= until_s)
        .order_by(windows.c.stale_s, windows.c.last_seq)
        .limit(limit)
    )
    return tuple(rows.scalars())


def claim(connection: sa.Connection, window: Window) -> Window:
    """Lock a window until the transaction ends, and return it as it is now: it lacks nothing.

    Whoever reads its labels afterwards may say so: one that comes meanwhile is noticed later.
    """
    mine = windows.update().where(windows.c.id == window.id).values(stale_s=None)
    row = connection.execute(mine.returning(*windows.c)).first()
    return parsed(row) if row else window
