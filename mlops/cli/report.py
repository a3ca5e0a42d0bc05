"""Verb `report`: Evidently reports of judged windows; `--follow` keeps making them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.site import Site

_PAUSE_S = 3.0
_NICE = 15  # reports must not slow the server or a training
_AT_ONCE = 1  # a mail waits for one page at most


def report(window: str | None = None, *, follow: bool = False) -> None:
    """Make the Evidently report of a window, or of every window that lacks one.

    Args:
        window: its id, as in `mlops status`; left out: all that are pending.
        follow: stay, at low priority, and make reports and send mails as they come.
    """
    from mlops.adapters.reports import make_named
    from mlops.adapters.sql.engine import database
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    site.work.mkdir(parents=True, exist_ok=True)
    project = project_name(site.layout.params)
    with database(site) as engine:
        if follow:
            _follow(site, engine, project)
        elif window is not None:
            make_named(site, engine, project, window)
            print(site.layout.windows / window / "report.html")
        else:
            print(f"{make_all(site, engine, project)} reports made")


def make_all(site: Site, engine: sa.Engine, project: str, *, patience_s: float = 0.0) -> int:
    """Make and keep every report that is pending or outdated; return how many were made.

    Args:
        site: where they lie.
        engine: the project's database.
        project: registered-model name.
        patience_s: least age of an outdated one.

    Raises:
        MonitorError: after all others are made and kept, if one could not be.
    """
    from mlops.adapters.reports import make_pending
    from mlops.errors import MonitorError

    made, problems, fresh = 0, list[str](), 1
    while fresh:
        try:
            fresh = make_pending(site, engine, project, patience_s=patience_s)
            made += fresh
        except MonitorError as error:  # one that failed is not tried again: the next are
            problems.append(str(error))
    while _keep(site, engine, project):
        pass
    if problems:
        raise MonitorError("; ".join(problems))
    return made


def _follow(site: Site, engine: sa.Engine, project: str) -> None:
    """Make reports and deliver mails until the process is ended; an error is logged, not fatal.

    Evidently takes ten seconds to import, so one process stays, and imports it on the first
    window only.
    """
    import structlog

    from mlops.adapters.mail.outbox import deliver
    from mlops.adapters.reports import PATIENCE_S, make_pending
    from mlops.errors import MlopsError

    log = structlog.get_logger()
    os.nice(_NICE)
    while True:
        now = datetime.now(UTC)
        try:
            deliver(site, engine, now.timestamp())
            made = make_pending(
                replace(site, now=now), engine, project, _AT_ONCE, patience_s=PATIENCE_S
            )
            made += _keep(replace(site, now=now), engine, project)
        except (MlopsError, _database_error()) as error:
            made = 0
            log.error("report", error=" ".join(str(error).split())[:400])  # noqa: TRY400 - one line
        if not made:
            time.sleep(_PAUSE_S)


def _keep(site: Site, engine: sa.Engine, project: str) -> int:
    """Copy made pages into MLflow and delete old ones; return how many were touched."""
    from mlops.adapters.report_store import prune, store
    from mlops.params.base import View
    from mlops.params.load import load
    from mlops.params.reports import ReportsSection

    class Params(View):
        reports: ReportsSection

    keep_days = load(site.layout.params, Params).reports.keep_days
    return store(site, engine, project) + prune(site, engine, project, keep_days=keep_days)


def _database_error() -> type[Exception]:
    from sqlalchemy.exc import DBAPIError

    return DBAPIError
