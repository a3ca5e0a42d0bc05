"""Evidently reports of judged windows: made once each, beside the window, off the critical path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters import registry, windows
from mlops.adapters.baseline import read_baseline
from mlops.adapters.evidently import make_report
from mlops.adapters.long_reference import beside
from mlops.adapters.observe import kept
from mlops.errors import MonitorError, RegistryError, Unknown

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.windows import Window
    from mlops.site import Site


def make_pending(site: Site, engine: sa.Engine, project: str, limit: int = 10) -> int:
    """Make the reports of windows that lack one, alarms first; return how many were made.

    Raises:
        MonitorError: after the others are made, if one could not be or disagrees with the verdict.
    """
    with engine.connect() as connection:
        waiting = windows.unreported(connection, project, limit)
    problems: list[str] = []
    for window in waiting:
        try:
            make_one(site, engine, window)
        except MonitorError as error:
            problems.append(str(error))
    if problems:
        raise MonitorError("; ".join(problems))
    return len(waiting)


def make_named(site: Site, engine: sa.Engine, project: str, window: str) -> None:
    """Make the report of one window anew.

    Raises:
        Unknown: if there is no such window.
        MonitorError: if it cannot be made or disagrees with the verdict.
    """
    with engine.connect() as connection:
        found = windows.get(connection, project, window)
    if found is None:
        msg = f"window {window}: unknown in project {project}; see: mlops status"
        raise Unknown(msg)
    make_one(site, engine, found)


def make_one(site: Site, engine: sa.Engine, window: Window) -> None:
    """Make one report and record what became of it: `made` or `failed`.

    Raises:
        MonitorError: if it cannot be made or disagrees with the verdict.
    """
    try:
        _make(site, window)
    except (MonitorError, RegistryError) as error:
        with engine.begin() as connection:
            windows.set_report(connection, window.id, "failed")
        raise MonitorError(str(error)) from None
    with engine.begin() as connection:
        windows.set_report(connection, window.id, "made")


def _make(site: Site, window: Window) -> None:
    if not window.verdict.columns:
        msg = f"window {window.id}: hardly a row is sound or known, so it has no page"
        raise MonitorError(msg)
    folder = site.layout.windows / window.id
    rows, _ = kept(folder)
    project = window.cut.project
    version = registry.fetch(site, project, window.cut.version)
    own = read_baseline(version, window.redacted).columns
    fixed = beside(site, project, window.fixed, window.redacted)
    make_report(own, rows, window.verdict, folder, fixed, note=window.unwatched)
