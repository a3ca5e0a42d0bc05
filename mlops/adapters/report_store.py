"""Pages of windows in MLflow, beside the version that they watched; old ones are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters import files, mlflow, registry, report_states, run_files
from mlops.adapters.evidently.page import NAMES
from mlops.adapters.kept import FILE as KEPT
from mlops.adapters.sql import tables
from mlops.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.adapters.window import ReportState
    from mlops.site import Site

FOLDER = "windows"
_STORED = NAMES[:2]
_MAY_LIE_THERE: tuple[ReportState, ...] = ("stored", "outdated", "failed")
_LIE_HERE: tuple[ReportState, ...] = ("local", "made", "pending")


def store(site: Site, engine: sa.Engine, project: str, limit: int = 20) -> int:
    """Copy pages that are made into their version's run; return how many.

    A page whose version is not in the ledger stays here only. Killed between copy and note, it is
    copied once more, over itself.

    Raises:
        Unavailable: if MLflow does not answer; the next call goes on where this one ended.
    """
    done = 0
    for window, version, _ in _find(engine, project, "made", limit):
        folder = site.layout.windows / window
        state: ReportState = "stored"
        try:
            run_id = registry.registration(site, project, version).run_id
            for name in _STORED:
                if (folder / name).is_file():
                    run_files.put(site, run_id, folder / name, f"{FOLDER}/{window}")
        except RegistryError:
            state = "local"
        with engine.begin() as connection:
            report_states.note(connection, window, state, after=("made",))
        done += state == "stored"
    return done


def prune(site: Site, engine: sa.Engine, project: str, *, keep_days: float, limit: int = 50) -> int:
    """Delete the pages and rows of windows that ended longer ago; return of how many.

    Those go first that lie nowhere but here: MLflow need not answer for them.

    Raises:
        Unavailable: if MLflow does not answer; what is deleted here is asked for again then.
    """
    here = prune_here(site, engine, project, keep_days=keep_days, limit=limit)
    return here + _prune(site, engine, project, _MAY_LIE_THERE, keep_days=keep_days, limit=limit)


def prune_here(
    site: Site, engine: sa.Engine, project: str, *, keep_days: float, limit: int = 50
) -> int:
    """Delete the pages and rows of old windows that MLflow has not; return of how many."""
    return _prune(site, engine, project, _LIE_HERE, keep_days=keep_days, limit=limit)


def _prune(
    site: Site,
    engine: sa.Engine,
    project: str,
    states: Sequence[ReportState],
    *,
    keep_days: float,
    limit: int,
) -> int:
    before_s, done = site.now.timestamp() - 86400 * keep_days, 0
    for state in states:
        for window, version, end_s in _find(engine, project, state, limit):
            if end_s >= before_s:
                continue
            if state in _MAY_LIE_THERE:
                _delete(site, project, version, window)
            for name in (*NAMES, KEPT):
                files.remove(site.layout.windows / window / name)
            with engine.begin() as connection:
                report_states.note(connection, window, "pruned", after=report_states.UNPRUNED)
            done += 1
    return done


def _find(engine: sa.Engine, project: str, state: str, limit: int) -> list[tuple[str, str, float]]:
    """Return id, version and end of the windows in a state, the oldest first."""
    table = tables.windows
    query = (
        sa.select(table.c.id, table.c.version, table.c.end_s)
        .where(table.c.project == project, table.c.report == state)
        .order_by(table.c.end_s)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [(row.id, row.version, row.end_s) for row in connection.execute(query)]


def _delete(site: Site, project: str, version: str, window: str) -> None:
    api = mlflow.client(site)
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        with mlflow.errors():
            run = api.get_run(registry.registration(site, project, version).run_id)
            store_of = get_artifact_repository(run.info.artifact_uri)
            store_of.delete_artifacts(f"{FOLDER}/{window}")
    except (RegistryError, FileNotFoundError):
        return  # the run was deleted, or the page: there is nothing to delete
